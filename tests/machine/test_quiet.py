"""Other libraries are quiet where they would disturb, and as they were afterwards."""

import os
import subprocess
import sys


def test_loading_from_python_is_quiet_and_leaves_the_libraries_as_they_were():
    script = """if True:
        import gc
        gc.disable()  # what is imported is no garbage
        import logging
        from transformers.utils import logging as theirs
        from peftrec.model.backbone import load_backbone
        from peftrec.recipe import BackboneConfig

        load_backbone(BackboneConfig(name="sentence-transformers/all-MiniLM-L6-v2", quantize="nf4"))
        print(theirs.is_progress_bar_enabled(), logging.getLogger("bitsandbytes").level)
    """
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("True 0\n", "")
