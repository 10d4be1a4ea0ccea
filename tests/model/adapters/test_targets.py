"""Which options PEFT's methods take, and which modules they change in every family."""

import pytest
from encoders import configured, make_encoder, parameters

from peftrec.errors import UserError
from peftrec.model.adapters.targets import peft_config
from peftrec.model.backbone.families import FAMILIES, tiny_backbone


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("lora", {"lora_alfa": 8}, "adapter.options.lora_alfa: PEFT's LoraConfig has none; did you mean 'lora_alpha'?"),
        ("ia3", {"r": 8}, "adapter.options.r: PEFT's IA3Config has none; known: "),
        ("lora", {"modules_to_save": ["pooler"]}, "adapter.options.modules_to_save: heads are trained beside the"),
        ("lora", {"task_type": "SEQ_CLS"}, "adapter.options.task_type: peftrec sets it; leave it out"),
        ("lora", {"layer_replication": [[0, 1]]}, "adapter.options.layer_replication: all tasks share"),
        ("lora", {"target_parameters": ["x"]}, "adapter.options.target_parameters: only modules inside"),
        ("lora", {"trainable_token_indices": [1]}, "adapter.options.trainable_token_indices: the embeddings"),
        ("lora", {"init_lora_weights": "eva"}, "adapter.options.init_lora_weights: eva: it needs data"),
        ("lora", {"init_lora_weights": "loftq"}, "use backbone.quantize"),
        ("lora", {"init_lora_weights": "zeros"}, "PEFT refuses lora here: Unknown initialization"),
        (
            "lora",
            {"target_modules": ["quary"]},
            "target_modules: 'quary' matches nothing in the chosen layers; did you",
        ),
        ("lora", {"target_modules": ["query", "valeu"]}, "'valeu' matches nothing in the chosen layers; did you mean"),
        ("lora", {"target_modules": ["encoder.layer.0.attention.self.query"]}, "matches nothing in the chosen layers"),
        ("lora", {"target_modules": r".*c_attn"}, "'.*c_attn' matches nothing in the chosen layers"),
        ("lora", {"target_modules": ["attention"]}, "'attention' matches nothing"),
        ("lora", {"target_modules": ["word_embeddings"]}, "'word_embeddings' matches nothing"),
        ("lora", {"rank_pattern": {"key": 4}}, "adapter.options.rank_pattern: 'key' matches none of the adapted"),
        ("lora", {"alpha_pattern": {"qery": 4}}, "adapter.options.alpha_pattern: 'qery' matches none of the adapted"),
        ("lora", {"r": 0}, "PEFT refuses lora here: `r` should be a positive integer"),
        ("lora", {"lora_dropout": 1.5}, "adapter.options.lora_dropout: must be from 0 to below 1; found 1.5"),
        ("lora", {"r": "8"}, "adapter.options.r: must be an integer; found '8'"),
        ("lora", {"use_dora": "yes"}, "adapter.options.use_dora: must be a boolean; found 'yes'"),
        ("lora", {"target_modules": 5}, "adapter.options.target_modules: must be a list or a string; found 5"),
        ("lora", {"target_modules": "("}, "adapter.options.target_modules: not a regular expression (missing )"),
        ("lora", {"rank_pattern": {"(": 4}}, "adapter.options.rank_pattern: not a regular expression (missing )"),
        ("lora", {"rank_pattern": [4]}, "adapter.options.rank_pattern: must be a dictionary; found [4]"),
        ("lora", {"init_lora_weights": [1]}, "adapter.options.init_lora_weights: must be 'gaussian', "),
        ("lora", {"fan_in_fan_out": True}, "adapter.options.fan_in_fan_out: it follows from the modules"),
        ("lora", {"bias": "all"}, "PEFT refuses lora here: it would train the backbone's embeddings.LayerNorm.bias"),
        (
            "lora",
            {"megatron_core": "evil"},
            "adapter.options.megatron_core: PEFT would import the module that it names",
        ),
        ("ia3", {"feedforward_modules": ["dense2"], "target_modules": ["key"]}, "refuses them: `feedforward_modules`"),
        ("vera", {"r": -1}, "PEFT refuses vera here: "),
        ("vera", {"rank": 4}, "adapter.options.rank: PEFT's VeraConfig has none"),
    ],
)
def test_options_that_cannot_work_are_refused(method, options, message):
    backbone = tiny_backbone("BERT", layers=4)
    before = dict(backbone.model.named_modules())
    with pytest.raises(UserError) as raised:
        make_encoder(backbone, {"query": configured(method, **options)})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert dict(backbone.model.named_modules()) == before


def targets(family, method, **options):
    backbone = tiny_backbone(family, layers=4)
    config, lowest = peft_config(method.upper(), configured(method, **options), backbone, [2, 3], {})
    assert lowest == (0 if family == "ALBERT" else 2)
    return config, backbone


IA3 = {
    "BERT": ("key value dense dense", "dense dense"),  # PEFT's own list also catches the attention's output
    "RoBERTa": ("key value dense dense", "dense dense"),
    "XLM-R": ("key value dense", "dense"),
    "ModernBERT": ("Wqkv Wo", "Wo"),
    "DistilBERT": ("k_lin v_lin lin2", "lin2"),
    "MPNet": ("k v dense", "dense"),
    "DeBERTa-v2": ("key_proj value_proj dense dense", "dense dense"),
    "ALBERT": ("key value ffn_output", "ffn_output"),
    "ELECTRA": ("key value dense", "dense"),
    "Llama": ("k_proj v_proj down_proj", "down_proj"),
    "Qwen3": ("q_proj v_proj down_proj", "down_proj"),
    "GPT-2": ("c_attn c_proj", "c_proj"),
    "Gemma3": ("q_proj v_proj down_proj", "down_proj"),
}


def test_ia3_defaults_are_listed_for_every_family():
    assert set(IA3) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_ia3_scales_keys_and_values_and_the_feed_forward_input(family):
    config, backbone = targets(family, "ia3")
    layers = 1 if family == "ALBERT" else 2
    ends = [
        sorted(path.rsplit(".", 1)[-1] for path in paths)
        for paths in (config.target_modules, config.feedforward_modules)
    ]
    assert ends == [sorted(names.split() * layers) for names in IA3[family]]
    assert config.feedforward_modules <= config.target_modules
    modules = dict(backbone.model.named_modules())
    assert all(path in modules for path in config.target_modules)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"target_modules": ["key", "output.dense"], "feedforward_modules": []}, 0),
        ({"target_modules": ["key"]}, 0),
        ({"target_modules": ["key", "output.dense"]}, 4),
        ({"target_modules": ["key", "3.output.dense"], "feedforward_modules": ["3.output.dense"]}, 1),
        ({"feedforward_modules": r".*\d\.output\.dense"}, 2),
    ],
)
def test_ia3_feedforward_modules_are_as_said(options, expected):
    config, _ = targets("BERT", "ia3", **options)
    assert len(config.feedforward_modules) == expected


@pytest.mark.parametrize("method", ["lora", "adalora", "ln_tuning", "vera"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_defaults_inside_the_chosen_layers(family, method):
    backbone = tiny_backbone(family, layers=4)
    encoder = make_encoder(backbone, {"query": configured(method, layers="all" if family == "ALBERT" else "top-2")})
    held = parameters(encoder)
    assert held
    if family != "ALBERT":
        roots = [name for name, module in backbone.model.named_modules() if module in list(backbone.layers[2:])]
        assert all(
            name.split("/")[1].startswith(tuple(f"{root}." for root in roots)) or "vera_" in name for name in held
        )
        assert encoder.trunk == 2
