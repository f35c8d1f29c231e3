"""Attribution methods: captum's classes, applied to units and a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tempo_lab.common.errors import TraceError

if TYPE_CHECKING:
    import torch

    from tempo_lab.analysis.attribution.targets import Target
    from tempo_lab.analysis.attribution.units import EmbeddedUnits, Units


@dataclass(eq=False)
class TargetFunction:
    """The target as a function of masks or embeddings; captum calls it.

    Attributes:
        units: the units that are masked.
        target: the number that is read.
        batch: inputs per forward pass.
        step: called with the number of values just computed.
    """

    units: Units
    target: Target
    batch: int
    step: Callable[[int], object]
    _cache: dict[tuple[bool, ...], float] = field(default_factory=dict)

    def __call__(self, masks: torch.Tensor) -> torch.Tensor:
        """Return float32 [mask] of masks [mask, unit], 1 keeps a unit; each is computed once."""
        import torch

        rows = [tuple(row) for row in masks.bool().tolist()]
        new = list(dict.fromkeys(row for row in rows if row not in self._cache))
        for first in range(0, len(new), self.batch):
            batch = new[first : first + self.batch]
            output = self.units.output(torch.tensor(batch))
            values = self._checked(self.target.of(output), len(batch))
            self._cache.update(zip(batch, values.tolist(), strict=True))
            self.step(len(batch))
        self.step(len(rows) - len(new))
        return torch.tensor([self._cache[row] for row in rows], dtype=torch.float32)

    def of_embeddings(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return float32 [step] of embeddings [step, token, ...]."""
        units: Any = self.units
        values = self._checked(self.target.of(units.output_of(embeddings)), len(embeddings))
        self.step(len(embeddings))
        return values

    def _checked(self, values: torch.Tensor, count: int) -> torch.Tensor:
        if values.shape != (count,) or not bool(values.isfinite().all()):
            raise TraceError(
                f"the target {self.target.name!r} must give one finite number for each mask",
                asked=f"[{count}]",
                found=f"{list(values.shape)}, {int((~values.isfinite()).sum())} not finite",
                fix="correct the target, or use another answer",
            )
        return values.float()


class WeightedLeastSquares:
    """The linear model of Kernel SHAP, in float64; captum's own needs scikit-learn."""

    def fit(self, data: Any) -> None:
        """Fit (masks [sample, unit], values [sample], weights [sample]) of a data loader."""
        import torch

        ((masks, values, weights),) = [tuple(part.double() for part in each) for each in data]
        design = torch.cat([masks, torch.ones_like(masks[:, :1])], dim=1)
        root = weights.sqrt()[:, None]
        fit = torch.linalg.lstsq(design * root, values[:, None] * root, driver="gelsd")
        self.weights = fit.solution[None, :-1, 0].float()

    def representation(self) -> torch.Tensor:
        """Return the weights, float32 [1, unit]."""
        return self.weights


def feature_ablation(function: TargetFunction, samples: int) -> torch.Tensor:
    """Return how much the target drops when one unit is removed."""
    import torch
    from captum.attr import FeatureAblation

    everything = torch.ones(1, function.units.count)
    return FeatureAblation(function).attribute(everything, perturbations_per_eval=function.batch)


def shapley_value_sampling(function: TargetFunction, samples: int) -> torch.Tensor:
    """Return what a unit adds on average over random orders (Strumbelj et al. 2010)."""
    import torch
    from captum.attr import ShapleyValueSampling

    everything = torch.ones(1, function.units.count)
    return ShapleyValueSampling(function).attribute(
        everything, n_samples=samples, perturbations_per_eval=function.batch
    )


def kernel_shap(function: TargetFunction, samples: int) -> torch.Tensor:
    """Return Shapley values by weighted regression on random masks (Lundberg and Lee 2017)."""
    import torch
    from captum.attr import KernelShap

    kernel = KernelShap(function)
    kernel.interpretable_model = WeightedLeastSquares()
    everything = torch.ones(1, function.units.count)
    return kernel.attribute(everything, n_samples=samples, perturbations_per_eval=function.batch)


def integrated_gradients(function: TargetFunction, samples: int) -> torch.Tensor:
    """Return gradients along the straight path from the baseline (Sundararajan et al. 2017)."""
    from captum.attr import IntegratedGradients

    units: EmbeddedUnits = function.units  # type: ignore[assignment]
    whole, none = units.ends()
    return IntegratedGradients(function.of_embeddings).attribute(
        whole, none, n_steps=samples, internal_batch_size=function.batch
    )


def layer_gradient_x_activation(function: TargetFunction, samples: int) -> torch.Tensor:
    """Return gradient times activation, both at the layer that the units enter."""
    import torch
    from captum.attr import LayerGradientXActivation

    units: EmbeddedUnits = function.units  # type: ignore[assignment]
    entrance = torch.nn.Identity()  # captum's hooks stay off the model
    whole, _ = units.ends()
    method = LayerGradientXActivation(lambda x: function.of_embeddings(entrance(x)), entrance)
    return method.attribute(whole)


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes:
        run: returns [1, unit] of masks, or [1, token, ...] where `gradients`.
        gradients: whether it needs gradients along a straight path, so embeddings.
        samples: units -> samples by default; 0 for a method that takes none.
        evaluations: (units, samples) -> evaluations of the target.
    """

    run: Callable[[TargetFunction, int], torch.Tensor]
    gradients: bool = False
    samples: Callable[[int], int] = lambda units: 0
    evaluations: Callable[[int, int], int] = lambda units, samples: samples


METHODS: dict[str, Method] = {
    "feature_ablation": Method(feature_ablation, evaluations=lambda n, samples: n + 1),
    "shapley_value_sampling": Method(
        shapley_value_sampling,
        samples=lambda n: 25,
        evaluations=lambda n, samples: n * samples + 1,
    ),
    "kernel_shap": Method(kernel_shap, samples=lambda n: 4 * n + 64),
    "integrated_gradients": Method(integrated_gradients, True, samples=lambda n: 64),
    "layer_gradient_x_activation": Method(
        layer_gradient_x_activation, True, evaluations=lambda n, samples: 1
    ),
}
"""By name, as captum calls them."""
