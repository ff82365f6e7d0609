"""The document's two-hidden-layer perceptron for 8x8 digits (question 3)."""

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """64 - h1 - h2 - 10; activation and dropout after each hidden layer.

    Initialised as Keras does, since the document used Keras: Glorot-uniform weights, zero biases. PyTorch's
    own default starts the second layer with weights half as large. Draws from torch's global generator.
    """

    def __init__(self, h1: int, h2: int, dropout: float = 0.0, activation: str = "relu"):
        super().__init__()
        act = ACTIVATIONS[activation]
        self.layers = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(64, h1), act(), nn.Dropout(dropout)),
            *(nn.Linear(h1, h2), act(), nn.Dropout(dropout)),
            nn.Linear(h2, 10),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:  # (N, 8, 8) floats in 0..1 -> (N, 10) logits
        return self.layers(x)
