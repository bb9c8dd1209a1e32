"""Users, tokens, roles and single sign-on; until a later release the roles of kernel/operations/authority.py are in force."""
