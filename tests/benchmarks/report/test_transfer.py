"""The page of transfer, from results made up."""

from benchmarks.report.transfer import transfer_page

CELL = {"rows": 54, "metric": "accuracy", "value": 0.75, "interval": [0.6, 0.9], "start": 0.7}
GAINS = {"after": {"by": 0.1, "interval": [0.05, 0.15]}, "beside": {"by": -0.01, "interval": [-0.1, 0.08]}}
RESULT = {
    "commit": "abc",
    "draws": 3,
    "languages": {"intent": {"Chinese": CELL | {"priors": {"majority": 0.04, "frozen_lr": 0.5}}}},
    "catalogues": {"1000": {"nothing": 0.6, "after": 0.7, "beside": 0.59, "prior": 0.65, "gains": GAINS}},
}


def test_the_page_has_a_line_a_cell():
    text = transfer_page(RESULT)
    assert "means over\n3 draws. Measured at commit abc" in text
    assert "| intent | Chinese | accuracy | 0.7500 (0.600\u00a0to\u00a00.900) | 0.7000 | `frozen_lr` 0.5000 |" in text
    line = "| 1,000 | 0.6000 | 0.7000 | 0.5900 | 0.6500 | +0.1000 (+0.0500 to +0.1500) **better** |"
    assert f"{line} -0.0100 (-0.1000 to +0.0800) |" in text
