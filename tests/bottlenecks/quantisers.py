"""Every quantiser, small, with what its objective needs."""

from typing import Any, NamedTuple

import ae_jax as ae
from ae_jax import terms

SHAPE = (2, 4)
VQ = {"name": "vector_quantized", "num_codes": 5}


class Case(NamedTuple):
    """A quantiser of latents `[2, 4]`.

    Attributes:
      bottleneck: itself.
      objective: beside the reconstruction.
      exact: whether z is, in value, always the code of its number (relaxed samples are not).
    """

    bottleneck: Any
    objective: Any = terms.commitment()
    exact: bool = True


LEARNED = terms.commitment() + terms.codebook()
SPREAD = terms.code_entropy() + terms.code_usage(group=2) + terms.commitment()
b = ae.bottlenecks
CASES = {
    "vector_quantized": Case(b.vector_quantized(SHAPE, 6)),
    "smoothed": Case(b.vector_quantized(SHAPE, 6, smoothing=1e-3)),
    "learned": Case(b.vector_quantized(SHAPE, 6, decay=None), LEARNED),
    "cosine": Case(b.vector_quantized(SHAPE, 6, cosine=True)),
    "learned cosine": Case(b.vector_quantized(SHAPE, 6, decay=None, cosine=True), LEARNED),
    "factorised": Case(b.vector_quantized(SHAPE, 6, code_dim=2, cosine=True)),
    "rotation": Case(b.vector_quantized(SHAPE, 6, rotation=True)),
    "residual": Case(b.residual_quantized(SHAPE, 3, 6)),
    "residual dropout": Case(b.residual_quantized(SHAPE, 3, 6, dropout=0.7), exact=False),
    "residual learned": Case(b.residual_quantized(SHAPE, 3, 6, decay=None, rotation=True), LEARNED),
    "grouped": Case(b.grouped(SHAPE, 2, of=VQ)),
    "grouped fsq": Case(b.grouped(SHAPE, 2, of={"name": "fsq", "levels": [3, 4]})),
    "grouped bsq": Case(b.grouped(SHAPE, 2, of="bsq"), SPREAD),
    "grouped gumbel": Case(
        b.grouped(SHAPE, 2, of={"name": "gumbel_softmax", "num_codes": 5}), terms.kl(), exact=False
    ),
    "fsq": Case(b.fsq(SHAPE, (2, 3, 4, 5))),
    "lfq": Case(b.lfq(SHAPE), SPREAD),
    "bsq": Case(b.bsq(SHAPE), SPREAD),
    "sim_vq": Case(b.sim_vq(SHAPE, 6), LEARNED),
    "ibq": Case(b.ibq(SHAPE, 6), LEARNED),
    "gumbel_softmax": Case(b.gumbel_softmax(SHAPE, 6, anneal_steps=3), terms.kl(), exact=False),
    "straight_through": Case(b.gumbel_softmax(SHAPE, 6, straight_through=True), terms.kl(), False),
}
