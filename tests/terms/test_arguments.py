"""Bad arguments of terms are refused as soon as the term is made, in Python and in a config."""

import pytest

import ae_jax as ae
from ae_jax import terms
from ae_jax.objective import from_config

NAN = float("nan")
BAD = [
    *(
        ("iwae", {"samples": k}, "samples must be a positive")
        for k in (0, -1, 2.5, True, "5", None)
    ),
    ("ciwae", {"samples": 0}, "samples must be a positive whole number, got 0"),
    ("monte_carlo_kl", {"samples": 0}, "samples must be a positive whole number, got 0"),
    ("ciwae", {"samples": 4, "beta": 1.5}, r"beta must lie in \[0, 1\], got 1.5"),
    ("ciwae", {"samples": 4, "beta": "half"}, r"beta must lie in \[0, 1\], got 'half'"),
    ("miwae", {"samples": 4, "groups": 3}, "groups must divide samples, got groups=3, samples=4"),
    ("miwae", {"samples": 4, "groups": 0}, "groups must be a positive whole number, got 0"),
    ("miwae", {"samples": 0, "groups": 1}, "samples must be a positive whole number, got 0"),
    *(("sparsity", {"rho": r}, rf"rho must lie in \(0, 1\), got {r}") for r in (0.0, 1, -0.1, NAN)),
    ("sparsity", {"rho": "low"}, r"rho must lie in \(0, 1\), got 'low'"),
    ("sparsity", {"layers": "code"}, r"layers must be a tuple of names.*, got 'code'"),
    ("l1", {"layers": ()}, r"layers must be a tuple of names.*, got \(\)"),
    ("l0", {"scale": 0.0}, "scale must be a positive number, got 0.0"),
    ("l0", {"layers": "code"}, r"layers must be a tuple of names.*, got 'code'"),
    ("dead_units", {"k": 0}, "k must be a positive whole number, got 0"),
    ("free_bits", {"threshold": -1.0}, "threshold must not be negative, got -1.0"),
    ("free_bits", {"threshold": None}, "threshold must not be negative, got None"),
    ("capacity", {"target": -1.0}, "target must not be negative, got -1.0"),
    ("capacity", {"target": 1.0, "steps": 0}, "steps must be a positive whole number, got 0"),
    ("capacity", {"target": 1.0, "gamma": NAN}, "gamma must not be negative, got nan"),
    ("mmd", {"kernel": "imk"}, "no kernel is called 'imk'; did you mean 'imq'"),
    ("mmd", {"bandwidths": (1.0, 0.0)}, r"bandwidths must be one or more .*, got .1.0, 0.0"),
    ("mmd", {"bandwidths": ()}, "bandwidths must be one or more positive numbers"),
    ("mmd", {"bandwidths": 1.0}, "bandwidths must be one or more positive numbers, got 1.0"),
    *(
        (name, {"estimator": "wieghted"}, "no estimator is called 'wieghted'; did you mean 'weigh")
        for name in ("mutual_information", "total_correlation", "dimension_wise_kl")
    ),
    ("dip_i", {"lambda_d": -1.0}, "lambda_d must not be negative, got -1.0"),
    ("dip_ii", {"lambda_od": -1.0}, "lambda_od must not be negative, got -1.0"),
    ("huber", {"delta": 0.0}, "delta must be a positive number, got 0.0"),
    ("ssim", {"data_range": 0.0}, "data_range must be a positive number, got 0.0"),
    ("ms_ssim", {"data_range": -1.0}, "data_range must be a positive number, got -1.0"),
    ("ms_ssim", {"weights": ()}, "weights must hold one number per scale"),
    ("ms_ssim", {"weights": (0.5, -0.5)}, r"weights\[1\] must not be negative, got -0.5"),
    ("contractive", {"probes": 0}, "probes must be a positive whole number, got 0"),
    ("decoder_gradient", {"probes": 1.5}, "probes must be a positive whole number, got 1.5"),
    ("kl", {"betta": 4.0}, "term 'kl' has no argument 'betta'"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD, ids=[f"{n}{a}" for n, a, _ in BAD])
def test_bad_arguments_are_refused_when_the_term_is_made(name, arguments, message):
    with pytest.raises(ae.errors.ConfigError, match=message):
        getattr(terms, name)(**arguments)
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in arguments.items()}
    with pytest.raises(ae.errors.ConfigError):
        from_config({name: plain})


def test_the_users_own_check_sees_the_arguments_that_it_names():
    seen = []

    def check(power, base):
        seen.append((power, base))
        if power < 0:
            raise ValueError(f"power must not be negative, got {power}")

    @ae.term(check=check)
    def own(outputs, context, power: float, other: str = "", base: float = 2.0):
        return outputs.log_px[:, 0]

    own(power=3.0, other="x")
    assert seen == [(3.0, 2.0)]
    with pytest.raises(ValueError, match="power must not be negative, got -1"):
        own(-1)
