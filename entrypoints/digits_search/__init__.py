"""Question 3: which perceptron of table 1 is best on the digits, and how sure may one be?"""

from entrypoints.questions import Question, Source

QUESTION_3 = Question(
    3,
    "Which perceptron of table 1 is best on the digits?",
    "Table 2 presents the combination of the best hyper-parameters obtained through tuning.",
    (
        Source(
            "digits_search",
            "grid",
            "all 1,400 configurations of table 1",
            {
                "ranks.png": "All configurations in order, with their intervals.",
                "marginals.png": "What each hyper-parameter does.",
                "regret.png": "What a search leaves on the table, after so many trials.",
            },
            "-P exhaustive=True",
        ),
        Source("digits_search", "search", "hyperopt's search", {"search.png": "The search and its finalists."}),
    ),
)
