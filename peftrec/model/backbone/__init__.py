"""The backbone: one pretrained encoder or decoder, loaded, quantised, frozen, and run from any layer to any layer."""

from peftrec.model.backbone.files import PACKAGED, locate
from peftrec.model.backbone.frozen import Backbone
from peftrec.model.backbone.load import architecture, frozen_backbone, load_backbone, share_backbone

__all__ = ["PACKAGED", "Backbone", "architecture", "frozen_backbone", "load_backbone", "locate", "share_backbone"]
