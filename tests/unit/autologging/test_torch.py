"""Loops of PyTorch, and what Lightning, Keras and Hugging Face make of it, logged without a line for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.autologging.conftest import Logged

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # of these libraries


def test_a_loop_logs_loss_and_learning_rate_into_the_run_that_goes_on(logged: Logged) -> None:
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    with logged.app.tracking.start():
        for _ in range(25):
            optimizer.zero_grad()
            loss = model(torch.ones(4, 3)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert logged.points("loss") == [losses[0], losses[10], losses[20]]
    assert set(logged.points("lr")) == {0.05}
    assert logged.run().params["optimizer"] == "Adam"
    torch.nn.Linear(1, 1)(torch.ones(1, 1)).sum().backward()
    assert len(logged.runs()) == 1


def test_lightning(logged: Logged, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")

    class Net(lightning.LightningModule):  # type: ignore[name-defined] # a module at run time
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(width, 1)

        def training_step(self, batch: Any) -> Any:
            loss = self.layer(batch[0]).square().mean()
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: Any) -> None:
            self.log("val_loss", self.layer(batch[0]).square().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(16, 3)), batch_size=4)
    trainer = lightning.Trainer(
        max_epochs=3, default_root_dir=tmp_path, accelerator="cpu", enable_progress_bar=False, logger=False,
        log_every_n_steps=1, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Net(), data, data)
    assert (logged.run().params["width"], logged.run().params["max_epochs"]) == (3, 3)
    assert len(logged.points("train_loss")) >= 3
    assert len(logged.points("val_loss")) >= 3
    assert set(logged.points("lr")) == {0.1}


def test_keras(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    keras = pytest.importorskip("keras")

    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((32, 3)), np.ones(32), epochs=4, verbose=0, validation_split=0.5)
    assert logged.points("loss") == pytest.approx(history.history["loss"])
    assert logged.points("val_loss") == pytest.approx(history.history["val_loss"])
    assert (logged.run().params["epochs"], logged.run().params["parameters"]) == (4, 4)
    assert logged.artifacts()["model/model.keras"][:2] == b"PK"


def test_transformers(logged: Logged, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers import Trainer, TrainingArguments

    config = transformers.DistilBertConfig(
        vocab_size=50, dim=8, n_heads=2, n_layers=1, hidden_dim=16, max_position_embeddings=16
    )
    model = transformers.DistilBertForSequenceClassification(config)
    rows = [{"input_ids": torch.tensor([1, 2, 3]), "labels": torch.tensor(at % 2)} for at in range(16)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=6, logging_steps=2, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    assert len(logged.points("loss")) == 3
    assert logged.run().params["max_steps"] == 6
    assert "train_runtime" in logged.metrics()
