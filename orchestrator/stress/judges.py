"""Makes a judge from its name. The code of a judge loads when it is named; MLX only for a model."""

from tasks.judges.contract import Judge
from tasks.judges.names import ENDPOINT, MODEL, model_of, parts_of


def judge_of(text: str) -> Judge:
    """The judge with this name. A model or server is first used when it judges.

    Args:
        text: `rules`, `model:PATH`, `model:OWNER/NAME[@REVISION]` or `endpoint:URL[#MODEL]`.

    Raises:
        NodeError: No judge has this name, the model is missing, or the URL is malformed.
    """
    kind, rest = parts_of(text)
    if kind == MODEL:
        from tasks.model.blas import prefer_fast_blas
        from tasks.model.open_files import import_mlx_lm

        prefer_fast_blas()
        import_mlx_lm()
        from tasks.judges.model import ModelJudge  # MLX loads here, and only here

        return ModelJudge(*model_of(rest))
    if kind == ENDPOINT:
        from tasks.judges.endpoint import EndpointJudge

        url, _, model = rest.partition("#")
        return EndpointJudge(url, model or None)
    from tasks.judges.rules import RulesJudge

    return RulesJudge()


def judges_its_own_family(judge: str, name: str, revision: str | None) -> bool:
    """Whether a judge and the judged model are of one family, which makes its verdicts doubtful.

    Models of one family share habits of refusing. False if a config is not on this machine, and for
    judges other than `model:...`: what a server runs is not known.

    Args:
        judge: As `judge_of` takes it.
        name: The model whose answers are judged.
        revision: Its revision; None for a directory.
    """
    if not judge.startswith(f"{MODEL}:"):
        return False
    from tasks.sources.hub import NotHereError
    from tasks.sources.model_files import locate, same_family

    try:
        configs = [
            locate(*who, download=False)[1].config
            for who in (model_of(judge.partition(":")[2]), (name, revision))
        ]
    except NotHereError:
        return False
    return same_family(*configs)
