"""Whether runs can speak for the document's."""

from dl.claims.verdict import Verdict, not_tested


def not_the_documents(claim: str, setting: dict, told: tuple[str, str], numbers: dict) -> Verdict | None:
    """Return "not tested" where the runs cannot speak for the document's, else None.

    They cannot where they had other data, or less training than it had. On generated digits (setting["generated"]) they
    speak for those alone, at any size and from any weights: only less training is held against them, setting["short"].
    told, numbers: what they measured anyway; told[1]: how many seeds of the document's own would be enough.
    """
    measured, enough = told
    if setting.get("generated"):
        if not setting["short"]:
            return None
        training = "the document's 14,651 images and ten epochs (`-P images=14651 -P epochs=10`)"
        return not_tested(claim, f"It takes {training}. Here: {measured}.", f"{training}; {enough}", numbers)
    lacks = [
        what
        for what, there in (
            (f"SVHN (these are {setting['dataset']})", setting["dataset"] == "svhn"),
            ("the document's images, size and epochs (preset full)", setting["preset"] == "full"),
            ("as many as that preset has (no --images, no --epochs)", not setting.get("changed")),
            ("the ImageNet weights that it began with", not setting.get("weights_missing")),
        )
        if not there
    ]
    if not lacks:
        return None
    enough = f"SVHN by the full preset, {enough}"
    return not_tested(claim, f"It takes {'; '.join(lacks)}. Here: {measured}.", enough, numbers)
