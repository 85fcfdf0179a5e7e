"""What the Training page offers to start with, and its words for settings."""

from unet.weights.network import DEFAULT_WEIGHTS

ARCHITECTURE_NAMES = {
    "attention-unet": "Attention U-Net",
    "unet": "U-Net without attention",
    "attention-unet-context": "Attention U-Net with the neighbouring slices",
}
LOSS_LABELS = {
    "bce-dice": "Cross-entropy + Dice",
    "bce-both-dice": "Cross-entropy + Dice, of the batch and slice by slice",
    "focal-tversky": "Focal Tversky",
}
SIZES = ("64", "96", "128", "160", "192", "256", "128,160,192")
AUGMENTATION_LABELS = {
    "flip": "mirror",
    "rotation": "turn",
    "zoom": "zoom",
    "shift": "shift",
    "elastic": "bend",
    "gamma": "gamma",
    "contrast": "contrast",
    "bias": "coil bias",
    "blur": "blur",
    "noise": "noise",
    "missing": "missing sequence",
    "own_statistics": "own statistics",
}
SCRATCH = "random numbers"

# what each preset changes of the form's first values; `twin` is a second run that differs from it in these
FIRST = {
    "data": "demo", "architecture": "attention-unet", "filters": 8, "size": "128", "length": "minutes", "minutes": 5.0,
    "slices": 8000, "epochs": 10, "epoch_slices": 0, "batch": 8, "rate": 1e-3, "schedule": "cosine", "loss": "bce-dice",
    "seed": 2026, "augmentation": list(AUGMENTATION_LABELS), "start": SCRATCH, "overfit": None,
}  # fmt: skip
PRESETS = {
    "60 seconds on phantoms": {
        "explanation": "A small network is trained on four synthetic patients, from random numbers, and validated on "
        "two others. Needs no data set.",
        "values": {"size": "64", "minutes": 0.75, "epoch_slices": 64, "rate": 5e-3},
    },
    "Overfit one patient": {
        "explanation": "The first check of every network: can it fit a single patient? It is validated on its own "
        "training slices, so a high Dice proves nothing else.",
        "values": {
            "data": "best", "filters": 16, "minutes": 5.0, "epoch_slices": 128, "rate": 3e-3, "augmentation": [],
            "overfit": "first",
        },
    },
    "5 minutes, 8 filters": {
        "explanation": "All training patients of the data set and a narrow network, for five minutes.",
        "values": {"data": "best", "epoch_slices": 480, "rate": 2e-3},
    },
    "Fine-tune the shipped weights": {
        "explanation": "Continues from the weights that Explore uses, with small steps, on the patients chosen below.",
        "values": {"data": "best", "start": DEFAULT_WEIGHTS, "rate": 1e-4, "epoch_slices": 96},
    },
    "Augmentation, with and without": {
        "explanation": "Two runs one after the other, same seed and same number of slices: one sees every slice "
        "turned, scaled and with other brightness, the other unchanged. Compare shows both curves.",
        "values": {"size": "64", "length": "slices", "epoch_slices": 96, "rate": 5e-3},
        "twin": {"augmentation": []},
    },
    "Attention, with and without": {
        "explanation": "Two runs one after the other, same seed and same number of slices: with and without attention "
        "gates.",
        "values": {"size": "64", "length": "slices", "epoch_slices": 96, "rate": 5e-3},
        "twin": {"architecture": "unet"},
    },
}  # fmt: skip
