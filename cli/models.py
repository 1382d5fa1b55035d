"""`capstan models`: train models of bars, list and evaluate them, serve them over HTTP."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from domain import InputError

app = typer.Typer(no_args_is_help=True, help="Models of bars: train, list, evaluate, serve. See docs/models.md.")

Models = Annotated[Path, typer.Option("--models", help="The folder of models and of the MLflow store.")]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON.")]
SHOWN = ("auc", "skill", "ic")
MEASURES = ("samples", "auc", "skill", "ic", "accuracy")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="TOML or YAML: see docs/models.md and examples/models/.")],
    models: Models = Path("models"),
    is_tracked: Annotated[bool, typer.Option("--track/--no-track", help="Write the run into MLflow.")] = True,
    as_json: AsJson = False,
) -> None:
    """Train a model, measure it out of sample, export it to ONNX, and save it under its digest.

    The same configuration and data make the same model, byte for byte: compare the digest.
    """
    from cli.backtest import ProgressLine
    from engine.models.artefact import save_artefact
    from engine.models.settings import load_train_settings
    from engine.models.training import train as train_model

    line = ProgressLine()
    trained = train_model(load_train_settings(config), config.resolve().parent, line)
    line.end()
    folder = save_artefact(trained.artefact, models)
    result: dict[str, Any] = {
        "model": str(folder),
        "digest": trained.artefact.digest,
        "skill": trained.artefact.card.skill,
        "export_error": trained.export_error,
        "importance": trained.importance,
    }
    if is_tracked:
        from engine.models.tracking import track

        result["mlflow_run"] = track(models, trained)
    if as_json:
        output.emit(result)
        return
    _show_skill(trained.artefact.card.skill)
    shares = sorted(trained.importance.items(), key=lambda item: -item[1])[:5]
    if shares:
        output.say("splits by: " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    output.say(f"model {folder}")


@app.command("list")
def list_models(models: Models = Path("models"), as_json: AsJson = False) -> None:
    """Show every model in a folder with its skill out of sample, and what is damaged."""
    from engine.models.artefact import list_artefacts

    rows: list[dict[str, Any]] = []
    for folder, found in list_artefacts(models):
        if isinstance(found, InputError):
            rows.append({"model": str(folder), "problem": str(found)})
            continue
        card, test = found.card, found.card.skill.get("test", {})
        rows.append(
            {
                "model": str(folder),
                "digest": found.digest,
                "kind": card.kind,
                "instruments": list(card.instruments),
                "trained_until": card.trained_until,
                **{key: test.get(key) for key in SHOWN},
            }
        )
    if as_json:
        output.emit({"models": rows})
        return
    if not rows:
        output.say(f"no models in {models}: capstan models train")
        return
    _table(
        ["model", "kind", "until", "AUC", "skill", "IC"],
        [
            [_reference(row), row["problem"], "", "", "", ""]
            if "problem" in row
            else [
                _reference(row),
                row["kind"],
                row["trained_until"][:10],
                *(_number(row[key]) for key in SHOWN),
            ]
            for row in rows
        ],
    )


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model's folder, NAME/DIGEST.")],
    config: Annotated[Path, typer.Argument(help="Data, label and `test_from`, as for `train`.")],
    as_json: AsJson = False,
) -> None:
    """Measure a model on bars from `test_from` on, and how often they leave the range of its training."""
    from engine.models.artefact import load_artefact
    from engine.models.inference import LocalModel
    from engine.models.settings import load_train_settings
    from engine.models.training import evaluate as measure
    from engine.models.training import read_source

    settings = load_train_settings(config)
    loaded = LocalModel(load_artefact(model))
    histories = [read_source(source, settings, config.resolve().parent) for source in settings.data]
    found = measure(loaded, settings, histories)
    until = loaded.card.trained_until
    found["is_out_of_sample"] = found["from"] > until
    output.table(found, as_json=as_json)
    if not found["is_out_of_sample"]:
        output.say(f"the model was trained on bars until {until}: this is no skill out of sample")


@app.command()
def serve(
    models: Models = Path("models"),
    model: Annotated[list[Path] | None, typer.Option(help="Serve these folders alone; else all in --models.")] = None,
    host: Annotated[str, typer.Option(help="A loopback address: strategies ask from this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8470,
    reach: Annotated[
        float, typer.Option(min=0, help="Refuse inputs further outside the range of training than so many widths.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Serve models over HTTP until SIGTERM or SIGINT; each is addressed by its digest."""
    import uvicorn

    from api.model_service import create_model_app
    from engine.models.artefact import list_artefacts, load_artefact
    from engine.models.inference import LocalModel
    from engine.models.remote import loopback

    loopback(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    if model:
        artefacts = [load_artefact(folder) for folder in model]
    else:
        found = [artefact for _, artefact in list_artefacts(models)]
        artefacts = [artefact for artefact in found if not isinstance(artefact, InputError)]
        for problem in found:
            if isinstance(problem, InputError):
                output.say(f"not served: {problem}")
    if not artefacts:
        raise InputError(f"no models to serve in {models}", hint="capstan models train")
    service = create_model_app([LocalModel(artefact) for artefact in artefacts], reach=reach)
    # Bound before uvicorn starts: so the port is known, and a taken one is an error of ours.
    with listening(host, port) as listener:
        taken = listener.getsockname()[1]
        url = f"http://{host}:{taken}"
        ready = {"url": url, "port": taken, "models": [artefact.digest for artefact in artefacts]}
        output.emit(ready) if as_json else output.say(f"{len(artefacts)} models on {url}")
        # Its records go where ours do, and lose their secrets there.
        server = uvicorn.Server(uvicorn.Config(service, log_config=None, access_log=False))
        server.run(sockets=[listener])


def listening(host: str, port: int) -> socket.socket:
    """Give a socket that listens; port 0 takes a free one.

    Raises:
        InputError: It cannot.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # Whoever connects as soon as it is told to be ready waits a moment, and is not refused.
    except OSError as exc:
        listener.close()
        raise InputError(f"cannot listen on {host}:{port}: {exc.strerror}", hint="--port 0 takes a free one") from exc
    return listener


def _show_skill(skill: dict[str, Any]) -> None:
    rows = [
        [what, f"{row['from'][:10]} to {row['until'][:10]}", *(_number(row[key]) for key in MEASURES), _range(row)]
        for what, row in [*((f"fold {at + 1}", fold) for at, fold in enumerate(skill["cv"])), ("test", skill["test"])]
    ]
    _table(["", "decided", "samples", "AUC", "skill", "IC", "accuracy", "AUC, 95 %"], rows)


def _range(row: dict[str, Any]) -> str:
    low, high = row["auc_95"]
    return f"{low:.3f} to {high:.3f}"


def _reference(row: dict[str, Any]) -> str:
    return "/".join(Path(row["model"]).parts[-2:])


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.4f}"


def _table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=at == 0)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
