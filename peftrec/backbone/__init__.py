"""The backbone: one pretrained encoder or decoder, loaded, quantised, frozen, and run from any layer to any layer."""

from peftrec.backbone.frozen import Backbone
from peftrec.backbone.load import PACKAGED, frozen_backbone, load_backbone, locate

__all__ = ["PACKAGED", "Backbone", "frozen_backbone", "load_backbone", "locate"]
