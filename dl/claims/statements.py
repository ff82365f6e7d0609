"""The document's fourteen checkable statements, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One checkable statement of the document."""

    id: str
    question: int
    quote: str  # the document's own words
    refuted_by: str  # what we would have to measure to call it wrong


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "Q1-unique",
            1,
            "Cross-Entropy Loss (CE) is utilized in logistic regression tasks to ensure a clear and unambiguous "
            "single correct solution.",
            "descent from different starts that ends at different weights, or at none, on all data sets",
        ),
        Claim(
            "Q1-penalty",
            1,
            "Cross entropy mitigates these issues by imposing heavier penalties on larger errors in predicted "
            "probabilities, particularly when the predicted probability deviates significantly from the actual "
            "class (0 or 1).",
            "confident errors that all cost no more under CE than under MSE, raw or in units of its loss at p = 1/2",
        ),
        Claim(
            "Q1-corner-gradient",
            1,
            "The gradient at points (1, 0) and (0, 1) appears lower on the MSE loss surface compared to the CE loss "
            "surface.",
            "|dL/dp| or |dL/dz| near those corners that is not lower for MSE",
        ),
        Claim(
            "Q1-convergence",
            1,
            "Additionally, the MSE loss surface exhibits lower gradient and slower convergence, while the CE loss "
            "surface demonstrates steeper gradient and faster convergence.",
            "races, each loss with its own best learning rate, most of which MSE wins beyond chance, and CE none",
        ),
        Claim(
            "Q2-ce",
            2,
            "The CE loss is not convex because of the presence of the logarithmic terms, which lead to non-convexity.",
            "CE convex in p, in the logit and in logistic weights, where the logarithms are",
        ),
        Claim(
            "Q2-mse",
            2,
            "where the terms (y_i - ŷ_i)^2 introduce non-linearity, making the loss function non-convex.",
            "MSE convex wherever the squares stand alone: in p and in linear regression",
        ),
        Claim(
            "Q2-none",
            2,
            "Since neither CE loss nor MSE loss guarantees convexity, the correct answer is None.",
            "a network with a hidden layer in which one of the losses is convex",
        ),
        Claim(
            "Q3-data",
            3,
            "Consider a model designed for classifying images of digits, such as those found in the MNIST [2] "
            "dataset available in the sklearn [4] library. This dataset comprises a total of 1797 8x8 images of "
            "digits.",
            "1,797 images that differ from MNIST in size, in range and in source",
        ),
        Claim(
            "Q3-table2",
            3,
            "Table 2: The table presents the hyper-parameters along with their optimum values.",
            "configurations of table 1 that beat 384 / 24 / 0.01 / 0.0 / ReLU beyond the noise of seeds",
        ),
        Claim(
            "Q4-lenet",
            4,
            "LeNet-5 demonstrates a consistent enhancement in accuracy, rising from 17% to 84% over the course of "
            "10 epochs.",
            "an epoch that loses more than five points, or another first or last accuracy by the same recipe",
        ),
        Claim(
            "Q4-alexnet",
            4,
            "Throughout the training duration, AlexNet maintains a stable accuracy of 18%. This lack of improvement "
            "suggests that despite its deeper architecture compared to LeNet-5, it may struggle to effectively handle "
            "the complexity and variability inherent in the SVHN dataset, possibly due to limitations in how it "
            "processes image features.",
            "the same architecture learning under another recipe",
        ),
        Claim(
            "Q4-vgg",
            4,
            "VGG-16 exhibits erratic behavior with spikes in loss values, indicating potential issues like "
            "overfitting, suboptimal learning rates, or data preprocessing discrepancies specific to the SVHN dataset.",
            "a VGG-16 whose loss falls without spikes",
        ),
        Claim(
            "Q4-resnet18",
            4,
            "ResNet-18 displays a robust performance, starting at 71% accuracy in the initial epoch and steadily "
            "progressing to 91% by the 10th epoch.",
            "another first or last accuracy, or an epoch that loses more than five points",
        ),
        Claim(
            "Q4-depth",
            4,
            "While both ResNet-50 and ResNet-101 exhibit notable enhancements over time, their performances do not "
            "surpass that of ResNet-18.",
            "ResNet-50 or ResNet-101 above ResNet-18 by more than half a point, beyond the spread of seeds",
        ),
    )
}
