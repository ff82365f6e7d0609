"""The winner of the search: trained with several seeds, tested once, registered."""

from dataclasses import asdict, fields, replace

from dl.evaluate import evaluate
from dl.models import Preprocessed, parameters
from dl.population import History, Repeat, Stack
from dl.table1 import Config
from entrypoints.digits_search.records import Setting
from tracking.model_card import About, HeldOut
from tracking.registry import register

SEEDS = 5
ABOUT = About(
    reads="handwritten digits, 8x8 counts of inked pixels, values 0..16; scaling is the model's own business",
    returns="float32 `(N, 10)`, the logits of the digits 0 to 9",
    licence="CC BY 4.0 (E. Alpaydin and C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998)",
    unfit="MNIST's 28x28 images, photographs, other writers than this data set's without a test of one's own",
    recipe={},
)


def train_winner(setting: Setting, winner: Config) -> list[dict]:
    """Train the winner with five seeds on the data's own split, test each once, register the best on validation."""
    options, data = setting.options, setting.data
    seeds = range(1000 * options.seed + 900, 1000 * options.seed + 900 + SEEDS)
    stack = Stack([winner], [Repeat(data, seed) for seed in seeds], setting.device)
    history = stack.fit(options.epochs)
    best = int(history.val_accuracy[0, :, -1].argmax())
    results = []
    for r, seed in enumerate(seeds):
        net = Preprocessed(stack.network(0, r), 0.0, 16.0).eval()
        result = dict(zip(("test_loss", "test_accuracy"), evaluate(net, data.test), strict=True))
        results.append(result)
        params = asdict(winner) | {"network_seed": seed, "parameters": parameters(net)}
        name = f"digits_search / winner / seed {seed}"
        with setting.run.child(name, params, {"kind": "network", "network": "digits-mlp", "recipe": "found"}) as child:
            setting.log_inputs(child)
            for e in range(options.epochs):
                child.metrics({f.name: float(getattr(history, f.name)[0, r, e]) for f in fields(History)}, e + 1)
            child.metrics(result | {"best_val_accuracy": float(history.val_accuracy[0, r, -1])})
            if r == best:
                val = HeldOut(data.name, data.val.digest(), data.val.x.numpy(), data.val.y.numpy())
                about = replace(ABOUT, recipe=asdict(winner) | {"epochs": options.epochs, "network_seed": seed})
                register(child, net, ("digits-mlp",), val, about)
    return results
