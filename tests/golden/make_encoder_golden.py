"""Store the features that timm's tf_efficientnet_lite0 gives for a small input.

Run where timm is installed: python tests/golden/make_encoder_golden.py WEIGHTS.safetensors
"""

import json
import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch


def main() -> None:
    here = Path(__file__).parent
    weights = safetensors.torch.load_file(sys.argv[1])
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    model.load_state_dict(weights, strict=True)
    encoder = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    encoder.load_state_dict(
        {k: v for k, v in weights.items() if k in encoder.state_dict()}, strict=True
    )
    encoder.eval()
    image = np.random.RandomState(0).uniform(-1, 1, (1, 3, 32, 64)).astype(np.float32)
    with torch.inference_mode():
        features = [feature.numpy() for feature in encoder(torch.from_numpy(image))]
    arrays = {f"stride_{2 << i}": feature for i, feature in enumerate(features)}
    np.savez_compressed(here / "encoder_lite0.npz", image=image, **arrays)
    origin = {
        "made_by": "tests/golden/make_encoder_golden.py tf_efficientnet_lite0_timm.safetensors",
        "source": "timm.create_model('tf_efficientnet_lite0', features_only=True)",
        "versions": {"timm": timm.__version__, "torch": torch.__version__},
        "tolerance": "1e-4 absolute: sums of up to 1152 float32 products in another order",
    }
    (here / "encoder_lite0.json").write_text(json.dumps(origin, indent=2) + "\n")


if __name__ == "__main__":
    main()
