"""Methods of attribution: captum's own classes, put to units and a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tempo_lab.common.errors import TraceError

if TYPE_CHECKING:
    import torch

    from tempo_lab.analysis.attribution.targets import Target
    from tempo_lab.analysis.attribution.units import Embedded, Units


@dataclass(eq=False)
class Measured:
    """The target as a function of masks or embeddings; captum calls it.

    Attributes:
        units: what is masked.
        target: what is read.
        batch: inputs that the model takes at once.
        step: called with the number of values that were just found.
    """

    units: Units
    target: Target
    batch: int
    step: Callable[[int], object]
    _known: dict[tuple[bool, ...], float] = field(default_factory=dict)

    def __call__(self, masks: torch.Tensor) -> torch.Tensor:
        """float32 [mask] of masks [mask, unit], 1 for what stays; each mask is computed once."""
        import torch

        rows = [tuple(row) for row in masks.bool().tolist()]
        new = list(dict.fromkeys(row for row in rows if row not in self._known))
        for first in range(0, len(new), self.batch):
            some = new[first : first + self.batch]
            values = self._checked(
                self.target.of(self.units.outcome(torch.tensor(some))), len(some)
            )
            self._known.update(zip(some, values.tolist(), strict=True))
            self.step(len(some))
        self.step(len(rows) - len(new))
        return torch.tensor([self._known[row] for row in rows], dtype=torch.float32)

    def of(self, embeddings: torch.Tensor) -> torch.Tensor:
        """float32 [step] of embeddings [step, token, ...]."""
        units: Any = self.units
        values = self._checked(self.target.of(units.outcome_of(embeddings)), len(embeddings))
        self.step(len(embeddings))
        return values

    def _checked(self, values: torch.Tensor, count: int) -> torch.Tensor:
        if values.shape != (count,) or not bool(values.isfinite().all()):
            raise TraceError(
                f"the target {self.target.name!r} must give one finite number for each mask",
                asked=f"[{count}]",
                found=f"{list(values.shape)}, {int((~values.isfinite()).sum())} not finite",
                fix="correct the target, or take another answer",
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
        found = torch.linalg.lstsq(design * root, values[:, None] * root, driver="gelsd")
        self.weights = found.solution[None, :-1, 0].float()

    def representation(self) -> torch.Tensor:
        """float32 [1, unit]."""
        return self.weights


def feature_ablation(measured: Measured, samples: int) -> torch.Tensor:
    """What is lost when one unit alone is taken away."""
    import torch
    from captum.attr import FeatureAblation

    everything = torch.ones(1, measured.units.count)
    return FeatureAblation(measured).attribute(everything, perturbations_per_eval=measured.batch)


def shapley_value_sampling(measured: Measured, samples: int) -> torch.Tensor:
    """What a unit adds on average, in random orders of adding them (Strumbelj et al. 2010)."""
    import torch
    from captum.attr import ShapleyValueSampling

    everything = torch.ones(1, measured.units.count)
    return ShapleyValueSampling(measured).attribute(
        everything, n_samples=samples, perturbations_per_eval=measured.batch
    )


def kernel_shap(measured: Measured, samples: int) -> torch.Tensor:
    """Shapley values by weighted regression on random masks (Lundberg and Lee 2017)."""
    import torch
    from captum.attr import KernelShap

    kernel = KernelShap(measured)
    kernel.interpretable_model = WeightedLeastSquares()
    everything = torch.ones(1, measured.units.count)
    return kernel.attribute(everything, n_samples=samples, perturbations_per_eval=measured.batch)


def integrated_gradients(measured: Measured, samples: int) -> torch.Tensor:
    """Gradients along the straight path from the baseline (Sundararajan et al. 2017)."""
    from captum.attr import IntegratedGradients

    units: Embedded = measured.units  # type: ignore[assignment]
    whole, none = units.ends()
    return IntegratedGradients(measured.of).attribute(
        whole, none, n_steps=samples, internal_batch_size=measured.batch
    )


def layer_gradient_x_activation(measured: Measured, samples: int) -> torch.Tensor:
    """The gradient at the input times the input, both at the layer that the units enter."""
    import torch
    from captum.attr import LayerGradientXActivation

    units: Embedded = measured.units  # type: ignore[assignment]
    entrance = torch.nn.Identity()  # captum's hooks stay off the model
    whole, _ = units.ends()
    return LayerGradientXActivation(lambda x: measured.of(entrance(x)), entrance).attribute(whole)


@dataclass(frozen=True)
class Method:
    """A method of attribution.

    Attributes:
        run: [1, unit] of masks, or [1, token, ...] where `gradients`.
        gradients: whether it needs a straight path, so embeddings.
        samples: by default, for so many units; 0 where it draws and steps through none.
        evaluations: of the target, for so many units and samples.
    """

    run: Callable[[Measured, int], torch.Tensor]
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
"""By name: captum's, as they are called there."""
