"""HTTP: routes and OpenAPI from the operations, the guard in front of them, and the processes of `everloop up`."""
