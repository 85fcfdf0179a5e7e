"""What the Training page offers to start with, and its words for settings."""

from unet.language import mark
from unet.weights.network import DEFAULT_WEIGHTS

ARCHITECTURE_NAMES = {
    "attention-unet": mark("Attention U-Net"),
    "unet": mark("U-Net without attention"),
    "attention-unet-context": mark("Attention U-Net with the neighbouring slices"),
}
LOSS_LABELS = {
    "bce-dice": mark("Cross-entropy + Dice"),
    "bce-both-dice": mark("Cross-entropy + Dice, of the batch and slice by slice"),
    "focal-tversky": mark("Focal Tversky"),
}
SIZES = ("64", "96", "128", "160", "192", "256", "128,160,192")
AUGMENTATION_LABELS = {
    "flip": mark("mirror"),
    "rotation": mark("rotate"),
    "zoom": mark("zoom"),
    "shift": mark("shift"),
    "elastic": mark("deform"),
    "gamma": mark("gamma"),
    "contrast": mark("contrast"),
    "bias": mark("coil bias"),
    "blur": mark("blur"),
    "noise": mark("noise"),
    "missing": mark("missing sequence"),
    "own_statistics": mark("own statistics"),
}
SCRATCH = mark("random numbers")

# what each preset changes of the form's first values; `twin` is a second run that differs from it in these
FIRST = {
    "data": "demo", "architecture": "attention-unet", "filters": 8, "size": "128", "length": "minutes", "minutes": 5.0,
    "slices": 8000, "epochs": 10, "epoch_slices": 0, "batch": 8, "rate": 1e-3, "schedule": "cosine", "loss": "bce-dice",
    "seed": 2026, "augmentation": list(AUGMENTATION_LABELS), "start": SCRATCH, "overfit": None,
}  # fmt: skip
PRESETS = {
    mark("60 seconds on phantoms"): {
        "explanation": mark("A small network is trained on four synthetic patients, from random numbers, and "
        "validated on two others. Needs no data set."),
        "values": {"size": "64", "minutes": 0.75, "epoch_slices": 64, "rate": 5e-3},
    },
    mark("Overfit one patient"): {
        "explanation": mark("The first check of a new network: can it fit a single patient? It is validated on its "
"own training slices, so a high Dice proves only that."),
        "values": {
            "data": "best", "filters": 16, "minutes": 5.0, "epoch_slices": 128, "rate": 3e-3, "augmentation": [],
            "overfit": "first",
        },
    },
    mark("5 minutes, 8 filters"): {
        "explanation": mark("All training patients of the data set and a narrow network, for five minutes."),
        "values": {"data": "best", "epoch_slices": 480, "rate": 2e-3},
    },
    mark("Fine-tune the shipped weights"): {
        "explanation": mark("Continues from the weights that Explore uses, with a low learning rate, on the patients "
"chosen below."),
        "values": {"data": "best", "start": DEFAULT_WEIGHTS, "rate": 1e-4, "epoch_slices": 96},
    },
    mark("Augmentation, with and without"): {
        "explanation": mark("Two runs one after the other, with the same seed and number of slices. The first "
"changes every slice at random (rotation, scale, brightness), the second does not. The "
"view Compare shows both curves."),
        "values": {"size": "64", "length": "slices", "epoch_slices": 96, "rate": 5e-3},
        "twin": {"augmentation": []},
    },
    mark("Attention, with and without"): {
        "explanation": mark("Two runs one after the other, with the same seed and number of slices: with and without "
"attention gates."),
        "values": {"size": "64", "length": "slices", "epoch_slices": 96, "rate": 5e-3},
        "twin": {"architecture": "unet"},
    },
}  # fmt: skip
