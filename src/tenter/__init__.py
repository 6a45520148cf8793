"""tenter: weakly-supervised registration of multimodal medical images, by the cohort."""

__version__ = "0.1.0.dev0"
