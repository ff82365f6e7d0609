"""Question 4: six networks on SVHN."""

from entrypoints.questions import Question, Source

QUESTION_4 = Question(
    4,
    "Six networks on SVHN",
    "ResNet-18 displays a robust performance … While both ResNet-50 and ResNet-101 exhibit notable enhancements "
    "over time, their performances do not surpass that of ResNet-18.",
    (
        Source(
            "svhn_zoo",
            "zoo",
            "our recipes",
            {"comparison.png": "Accuracy over epochs and over time, against size and against cost."},
            tags={"recipe": ("tuned", "both")},
            extra={"errors.png": "What the best of them reads wrongly with the highest probability."},
        ),
        Source(
            "svhn_zoo",
            "zoo",
            "the document's recipe",
            {"comparison.png": "The same networks, trained as the document trained them."},
            "-P recipe=both",
            {"recipe": ("document", "both")},
            {
                "recipes.png": "Each network by the document's recipe and by ours.",
                "ablation.png": "Why does AlexNet stick? The document's recipe with one thing changed at a time.",
                "first_steps.png": "How far signal and gradient reach in AlexNet's first steps, layer by layer.",
            },
        ),
    ),
    decisive=1,
)
