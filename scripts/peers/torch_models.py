# pyright: reportMissingImports=false
"""The workloads as PyTorch modules, built around ae_jax's initial weights.

Each is `module(x, noise) -> (loss, code)`: x `[b, *event]` in the model's units, the mean over the
batch in nats; noise None is drawn within.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ae_jax.networks._layers import group_count
from peers.workloads import Sizes


def _filled(layer: Any, weight: np.ndarray, bias: np.ndarray | None = None) -> Any:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
    return layer


def linear(p: Any) -> nn.Linear:
    """From a kernel `[in, out]`."""
    kernel = p["kernel"]
    return _filled(nn.Linear(*kernel.shape), kernel.T, p["bias"])


def convolution(p: Any) -> nn.Conv2d:
    """From a kernel `[h, w, in, out]` of a convolution of stride 2 that halves an even size."""
    high, _, channels, width = p["kernel"].shape
    layer = nn.Conv2d(channels, width, high, stride=2, padding=(high - 2) // 2)
    return _filled(layer, p["kernel"].transpose(3, 2, 0, 1), p["bias"])


def transposed(p: Any) -> nn.ConvTranspose2d:
    """From a kernel `[h, w, in, out]`, which JAX applies the other way round."""
    high, _, channels, width = p["kernel"].shape
    layer = nn.ConvTranspose2d(channels, width, high, stride=2, padding=(high - 2) // 2)
    return _filled(layer, p["kernel"][::-1, ::-1].transpose(2, 3, 0, 1), p["bias"])


def normalisation(p: Any) -> nn.LayerNorm:
    """Over the last axis."""
    return _filled(nn.LayerNorm(len(p["scale"]), eps=1e-6), p["scale"], p["bias"])


def same_convolution(p: Any) -> nn.Conv2d:
    """From a kernel `[3, 3, in, out]` that keeps the size."""
    _, _, channels, width = p["kernel"].shape
    layer = nn.Conv2d(channels, width, 3, padding=1)
    return _filled(layer, p["kernel"].transpose(3, 2, 0, 1), p["bias"])


def halving_convolution(p: Any) -> nn.Sequential:
    """From a kernel `[3, 3, in, out]` of stride 2, whose padding is all after an even size."""
    _, _, channels, width = p["kernel"].shape
    layer = nn.Conv2d(channels, width, 3, stride=2)
    layer = _filled(layer, p["kernel"].transpose(3, 2, 0, 1), p["bias"])
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), layer)


def pointwise(p: Any) -> nn.Conv2d:
    """A dense layer of every position."""
    layer = nn.Conv2d(*p["kernel"].shape, 1)
    return _filled(layer, p["kernel"].T[:, :, None, None], p["bias"])


def group_normalisation(p: Any) -> nn.GroupNorm:
    """In as many groups, up to 32, as divide the channels and hold four."""
    channels = len(p["scale"])
    groups = group_count(channels)
    return _filled(nn.GroupNorm(groups, channels, eps=1e-6), p["scale"], p["bias"])


def embedding(p: Any) -> nn.Embedding:
    """From a table `[tokens, width]`."""
    return _filled(nn.Embedding(*p["embedding"].shape), p["embedding"])


def parameter(value: np.ndarray) -> nn.Parameter:
    """A copy."""
    return nn.Parameter(torch.from_numpy(value.copy()))


def channels_first(p: Any, positions: tuple[int, int], axis: int) -> dict[str, np.ndarray]:
    """A dense layer whose input (axis 0) or output (1) is `[h, w, c]`, for `[c, h, w]` instead."""

    def moved(leaf: np.ndarray, at: int) -> np.ndarray:
        shape = (*leaf.shape[:at], *positions, -1, *leaf.shape[at + 1 :])
        return np.moveaxis(leaf.reshape(shape), at + 2, at).reshape(leaf.shape)

    bias = moved(p["bias"], 0) if axis == 1 else p["bias"]
    return {"kernel": moved(p["kernel"], axis), "bias": bias}


class Variational(nn.Module):
    """Draws z between an `encoder` and a `decoder`; a likelihood scores what comes out."""

    encoder: nn.Module
    decoder: nn.Module

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The mean of −log p(x | z) + KL(q ‖ p), and z."""
        mean, log_var = self.encoder(x).float().chunk(2, dim=-1)
        noise = torch.randn_like(mean) if noise is None else noise
        z = mean + torch.exp(0.5 * log_var) * noise
        kl = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(dim=-1)
        return (self.nll(self.decoder(z).float(), x) + kl).mean(), z

    def nll(self, y: Tensor, x: Tensor) -> Tensor:
        """Bernoulli, from logits."""
        each = F.binary_cross_entropy_with_logits(y, x, reduction="none")
        return each.flatten(1).sum(dim=1)


class Vae(Variational):
    """784-500-20 and back."""

    def __init__(self, params: Any, sizes: Sizes):
        """From the weights."""
        super().__init__()
        del sizes
        enc, dec = params["encoder"], params["decoder"]
        self.encoder = nn.Sequential(
            nn.Flatten(), linear(enc["dense_0"]), nn.ReLU(), linear(enc["output"])
        )
        self.decoder = nn.Sequential(linear(dec["dense_0"]), nn.ReLU(), linear(dec["output"]))

    def nll(self, y: Tensor, x: Tensor) -> Tensor:
        """Bernoulli, over flat images."""
        return super().nll(y, x.flatten(1))


class ConvVae(Variational):
    """Strided convolutions and their transposes, on `[b, c, h, w]`."""

    def __init__(self, params: Any, sizes: Sizes):
        """From the weights."""
        super().__init__()
        enc, dec, features = params["encoder"], params["decoder"], sizes.network["features"]
        levels = range(len(features))
        small = (sizes.shape[0] >> len(features), sizes.shape[1] >> len(features))
        down = [layer for i in levels for layer in (convolution(enc[f"conv_{i}"]), nn.ReLU())]
        dense = channels_first(enc["output"], small, axis=0)
        self.encoder = nn.Sequential(*down, nn.Flatten(), linear(dense))
        up = [layer for i in levels for layer in (nn.ReLU(), transposed(dec[f"conv_{i}"]))]
        dense = channels_first(dec["input"], small, axis=1)
        self.decoder = nn.Sequential(linear(dense), nn.Unflatten(1, (features[-1], *small)), *up)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Of images with channels last, as they are stored."""
        return super().forward(x.permute(0, 3, 1, 2), noise)


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), then attention if there are weights of one."""

    def __init__(self, p: Any, heads: int):
        """From one block's weights."""
        super().__init__()
        first = nn.Sequential(group_normalisation(p["norm_0"]), nn.SiLU())
        second = nn.Sequential(group_normalisation(p["norm_1"]), nn.SiLU())
        one, other = (same_convolution(p[f"conv_{i}"]) for i in range(2))
        self.body = nn.Sequential(first, one, second, other)
        self.skip = pointwise(p["skip"]) if "skip" in p else nn.Identity()
        self.heads = heads if "attention" in p else None
        if self.heads is not None:
            self.norm = group_normalisation(p["norm_attention"])
            self.qkv, self.out = (linear(p["attention"][name]) for name in ("qkv", "out"))

    def forward(self, x: Tensor) -> Tensor:
        """`[b, c, h, w]`."""
        x = self.skip(x) + self.body(x)
        if self.heads is None:
            return x
        h = self.norm(x).flatten(2).transpose(1, 2)
        h = attended(self.qkv(h), self.heads)
        return x + self.out(h).transpose(1, 2).unflatten(2, x.shape[2:])


class ResNetVae(ConvVae):
    """Residual blocks, the image halved after each stage, and their mirror."""

    def __init__(self, params: Any, sizes: Sizes):
        """From the weights."""
        Variational.__init__(self)
        network = sizes.network
        features, depth, heads = network["features"], network["depth"], network["heads"]
        small = (sizes.shape[0] >> len(features), sizes.shape[1] >> len(features))

        def stage(p: Any, i: int) -> list[nn.Module]:
            return [Residual(p[f"stage_{i}_{j}"], heads) for j in range(depth)]

        def middle(p: Any) -> list[nn.Module]:
            return [Residual(p[f"middle_{j}"], heads) for j in range(2)]

        enc, dec, levels = params["encoder"], params["decoder"], range(len(features))
        down = [m for i in levels for m in (*stage(enc, i), halving_convolution(enc[f"down_{i}"]))]
        ready = lambda p: [group_normalisation(p["norm"]), nn.SiLU()]
        dense = linear(channels_first(enc["output"], small, axis=0))
        first = same_convolution(enc["first"])
        self.encoder = nn.Sequential(first, *down, *middle(enc), *ready(enc), nn.Flatten(), dense)
        doubled = lambda i: (nn.Upsample(scale_factor=2), same_convolution(dec[f"up_{i}"]))
        up = [m for i in levels for m in (*doubled(i), *stage(dec, i))]
        dense = linear(channels_first(dec["input"], small, axis=1))
        unfold = nn.Unflatten(1, (features[-1], *small))
        last = same_convolution(dec["last"])
        self.decoder = nn.Sequential(dense, unfold, *middle(dec), *up, *ready(dec), last)


def attended(joined: Tensor, heads: int) -> Tensor:
    """Self-attention from queries, keys and values side by side, `[b, n, 3 c]` to `[b, n, c]`."""
    split = joined.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(*split.unbind(0)).transpose(1, 2).flatten(2)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, params: Any, heads: int):
        """From one block's weights."""
        super().__init__()
        self.heads = heads
        self.norm_0, self.norm_1 = normalisation(params["norm_0"]), normalisation(params["norm_1"])
        self.qkv, self.out = (linear(params["attention"][name]) for name in ("qkv", "out"))
        self.expand, self.contract = linear(params["expand"]), linear(params["contract"])

    def forward(self, x: Tensor) -> Tensor:
        """`[b, n, c]`."""
        x = x + self.out(attended(self.qkv(self.norm_0(x)), self.heads))
        return x + self.contract(F.gelu(self.expand(self.norm_1(x)), approximate="tanh"))


def stack(params: Any, network: Any) -> nn.Sequential:
    """Blocks and a last normalisation."""
    each = [_row(params["blocks"], i) for i in range(network["depth"])]
    blocks = [Block(own, network["heads"]) for own in each]
    return nn.Sequential(*blocks, normalisation(params["norm"]))


def _row(tree: Any, i: int) -> Any:
    return {k: _row(v, i) if isinstance(v, dict) else v[i] for k, v in tree.items()}


class TokenEncoder(nn.Module):
    """Tokens to the mean over positions, then one dense layer."""

    def __init__(self, params: Any, network: Any):
        """From the weights."""
        super().__init__()
        self.embedding = embedding(params["embedding"]["entries"])
        self.positions = parameter(params["positions"])
        self.stack, self.output = stack(params["stack"], network), linear(params["output"])

    def forward(self, x: Tensor) -> Tensor:
        """`[b, n]` to `[b, d]`."""
        return self.output(self.stack(self.embedding(x) + self.positions).mean(dim=1))


class TokenDecoder(nn.Module):
    """z at every position, to logits."""

    def __init__(self, params: Any, network: Any):
        """From the weights."""
        super().__init__()
        self.input, self.positions = linear(params["input"]), parameter(params["positions"])
        self.stack = stack(params["core"]["stack"], network)
        self.output = linear(params["core"]["output"])

    def forward(self, z: Tensor) -> Tensor:
        """`[b, d]` to `[b, n, vocabulary]`."""
        x = self.input(z).unflatten(1, self.positions.shape) + self.positions
        return self.output(self.stack(x))


class Transformer(Variational):
    """Tokens to one code and back, every position at once."""

    def __init__(self, params: Any, sizes: Sizes):
        """From the weights."""
        super().__init__()
        self.encoder = TokenEncoder(params["encoder"], sizes.network)
        self.decoder = TokenDecoder(params["decoder"], sizes.network)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Of tokens, as whole numbers."""
        return super().forward(x.long(), noise)

    def nll(self, y: Tensor, x: Tensor) -> Tensor:
        """Categorical, from logits."""
        return F.cross_entropy(y.transpose(1, 2), x, reduction="none").sum(dim=1)


class TopK(nn.Module):
    """The k largest units of each example, decoded by a dense product."""

    unused_for: Tensor

    def __init__(self, params: Any, sizes: Sizes):
        """From the weights."""
        super().__init__()
        self.k, self.encoder = sizes.network["k"], linear(params["encoder"]["output"])
        self.decoder = parameter(params["decoder"]["output"]["kernel"])
        self.bias = parameter(params["decoder"]["output"]["bias"])
        self.register_buffer("unused_for", torch.zeros(sizes.latent, dtype=torch.int32))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """½ ‖x - x̂‖² and the constant of a Gaussian of unit variance, and the units' values."""
        del noise
        units = F.relu(self.encoder(x))
        values, index = units.topk(self.k, dim=-1, sorted=False)
        with torch.no_grad():
            fired = torch.zeros_like(self.unused_for)
            fired = fired.index_put((index.flatten(),), (values.flatten() > 0).int(), True)
            self.unused_for.copy_(torch.where(fired > 0, 0, self.unused_for + len(x)))
        error = x - self.decode(units, values, index) - self.bias
        constant = 0.5 * x.shape[-1] * math.log(2 * math.pi)
        return 0.5 * error.square().sum(dim=-1).mean() + constant, values

    def decode(self, units: Tensor, values: Tensor, index: Tensor) -> Tensor:
        """Σ zⱼ wⱼ over all units."""
        return torch.zeros_like(units).scatter(-1, index, values) @ self.decoder


class TopKSparse(TopK):
    """As `TopK`, but only the rows of the units in use are read."""

    def decode(self, units: Tensor, values: Tensor, index: Tensor) -> Tensor:
        """Σ zⱼ wⱼ over the k units."""
        weights = values.to(self.decoder.dtype)
        return F.embedding_bag(index, self.decoder, per_sample_weights=weights, mode="sum")


MODELS = {
    "vae": Vae,
    "conv_vae": ConvVae,
    "resnet_vae": ResNetVae,
    "transformer": Transformer,
    "topk": TopK,
    "topk_sparse": TopKSparse,
}
