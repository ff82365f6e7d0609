"""Question 1: cross-entropy or squared error for logistic regression?"""

from entrypoints.questions import Question, Source

QUESTION_1 = Question(
    1,
    "Cross-entropy or squared error for logistic regression?",
    "cross-entropy loss function works best for the logistic regression, and its significance can be understood "
    "from Figure 1.",
    (
        Source(
            "loss_surfaces",
            "question",
            "surfaces, gradients and races",
            {
                "surfaces.png": "Figure 1 of the document, drawn again: both losses over label and probability.",
                "weights.png": "Both losses over two weights of a real problem, with the optimisers' paths.",
                "faster.png": "Chance that cross-entropy is the faster, each loss with its own best learning rate.",
                "race_99.png": "Share of seeds that have not reached 99% of the best accuracy yet, over steps.",
            },
        ),
    ),
)
