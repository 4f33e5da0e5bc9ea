# pyright: reportMissingImports=false
"""pythae's own trainer, with our encoder and decoder."""

import logging
import pathlib
import tempfile
from typing import Any
from unittest import mock

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback
from torch.utils.data import DataLoader

from peers import admission as admission_lib
from peers.admission import TEST, TRAIN, Admission
from peers.torch_loop import configure, constants
from peers.torch_models import MODELS, Variational
from peers.trainer import Job, Trainer
from peers.workloads import BETAS, EPSILON, Sizes, Workload, find


class Encoder(BaseEncoder):
    """Ours, behind pythae's interface."""

    def __init__(self, network: torch.nn.Module):
        """Wraps it."""
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> Any:
        """Mean and log-variance."""
        mean, log_var = self.network(x).chunk(2, dim=-1)
        return ModelOutput(embedding=mean, log_covariance=log_var)


class Decoder(BaseDecoder):
    """Ours, behind pythae's interface, which takes probabilities."""

    def __init__(self, network: torch.nn.Module):
        """Wraps it."""
        super().__init__()
        self.network = network

    def forward(self, z: torch.Tensor) -> Any:
        """The probability of each pixel."""
        return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))


def dataset(x: np.ndarray, row: Workload, device: str = "cpu") -> BaseDataset:
    """pythae's: floats in [0, 1], images with channels first."""
    images = torch.from_numpy(np.moveaxis(x, -1, 1).astype(np.float32) / row.scale)
    return BaseDataset(images.to(device), torch.zeros(len(x), device=device))


def model_of(job: Job, sizes: Sizes) -> VAE:
    """The VAE of pythae around our networks."""
    start = admission_lib.read(job.folder)
    ours = MODELS[job.workload](admission_lib.nested(start.params), sizes)
    assert isinstance(ours, Variational)
    height, width, channels = sizes.shape
    shape = (channels, height, width)
    config = VAEConfig(input_dim=shape, latent_dim=sizes.latent, reconstruction_loss="bce")
    return VAE(config, Encoder(ours.encoder), Decoder(ours.decoder))


def trainer_of(model: VAE, data: BaseDataset, test: BaseDataset, job: Job) -> BaseTrainer:
    """Its trainer, prepared as its `train` does but for progress bars and folders."""
    row, sizes = find(job.workload, job.size)
    config = BaseTrainerConfig(
        output_dir=tempfile.gettempdir(),
        per_device_train_batch_size=sizes.batch_size,
        per_device_eval_batch_size=sizes.batch_size,
        learning_rate=row.learning_rate,
        optimizer_params={"betas": list(BETAS), "eps": EPSILON},
        seed=job.seed,
    )
    logging.getLogger("pythae").setLevel(logging.ERROR)
    logging.getLogger("pythae.trainers.base_trainer.base_trainer").setLevel(logging.ERROR)
    trainer = BaseTrainer(model, data, test, config)
    trainer.set_optimizer()
    trainer.set_scheduler()
    trainer.callback_handler = CallbackHandler([TrainingCallback()], model)
    return trainer


def build(job: Job) -> Trainer:
    """The Trainer of pythae; a call is an epoch of `steps_per_call` batches, 0: of all data."""
    device = configure(job)
    row, sizes = find(job.workload, job.size)
    held = device if job.regime == "device" else "cpu"
    train, test = (np.load(pathlib.Path(job.folder) / name) for name in (TRAIN, TEST))
    wanted = job.steps_per_call * sizes.batch_size or len(train)
    epoch = dataset(train[:wanted], row, held)
    model = model_of(job, sizes)
    trainer = trainer_of(model, epoch, dataset(test, row, held), job)
    steps = len(trainer.train_loader)

    def advance() -> int:
        trainer.train_step(1)
        return steps

    def replay(admission: Admission) -> list[float]:
        """Its own loop over the ten batches in order; the noise and the losses are looked at."""
        x = admission.batches.reshape(-1, *sizes.shape)
        loader = trainer.get_train_dataloader(dataset(x, row))
        trainer.train_loader = DataLoader(
            loader.dataset, loader.batch_size, collate_fn=loader.collate_fn
        )
        noise, losses = iter(torch.from_numpy(admission.noise).to(device)), []
        sample = lambda mean, std: (lambda eps: (mean + eps * std, eps))(next(noise))
        update = trainer._optimizers_step

        def watched(output: Any) -> None:
            losses.append(output.loss.item())
            update(output)

        with (
            mock.patch.object(model, "_sample_gauss", sample),
            mock.patch.object(trainer, "_optimizers_step", watched),
        ):
            trainer.train_step(1)
        return losses

    return Trainer(
        advance,
        replay,
        lambda: trainer.eval_step(1),
        sum(p.numel() for p in model.parameters()),
        constants(trainer.optimizer),
        torch.cuda.get_device_name() if device == "cuda" else "cpu",
    )
