"""How other tools write runs: names of columns, words for states, formats of numbers, files."""

import csv
import io

# How tools name columns and states, beside what they write of a run.
TOOLS = {
    "wandb export": ("{}", "State", "eval/rougeL_f1", {"Name": "run-{}", "Runtime": "3{}", "eval/loss": "1.{}"}),
    "wandb api": ("config.{}", "state", "summary.eval/rougeL_f1", {"name": "run-{}", "summary.loss": "1.{}"}),
    "mlflow export": ("{}", "Status", "rougeL", {"Run ID": "a{}", "Duration": "1.{}min", "train_loss": "2.{}"}),
    "mlflow search_runs": ("params.{}", "status", "metrics.rougeL", {"run_id": "a{}", "metrics.loss": "2.{}"}),
    "optuna": ("params_{}", "state", "value", {"number": "{}", "duration": "0 days 00:00:1{}", "user_attrs_x": "{}"}),
    "optuna-dashboard": ("Param {}", "State", "Value", {"Number": "{}", "UserAttribute gpu": "A1{}"}),
    "ray": ("config/{}", "trial_status", "mean_accuracy", {"trial_id": "t{}", "time_total_s": "4{}", "pid": "9{}"}),
    "sheet": ("{}", "상태", "ROUGE-L", {"메모 이름": "실험 {}", "학습 손실": "2.{}"}),
}
WORDS = {
    "finished": ["finished", "FINISHED", "TrialState.COMPLETE", "Complete", "TERMINATED", "완료"],
    "stopped": ["stopped", "pruned", "PRUNED", "TrialState.PRUNED", "중단"],
    "failed": ["failed", "crashed", "Crashed", "FAIL", "killed", "ERROR", "실패"],
    "running": ["running", "RUNNING", "Running", "실행 중"],
}
FORMATS = {
    "plain": lambda number: repr(number),
    "percent": lambda number: f"{100 * number:.2f}%",
    "percent with a space": lambda number: f"{100 * number:.2f} %",
    "decimal comma": lambda number: repr(number).replace(".", ","),
    "upper exponent": lambda number: f"{number:E}",
}
EMPTY = ["", "NaN", "nan", "N/A", "-"]


def as_file(folder, columns, draw, *, mark=",", bom=False, crlf=False):
    """Write columns in any order as a text file; return it."""
    names = draw.sample(list(columns), len(columns))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark, lineterminator="\r\n" if crlf else "\n")
    writer.writerows([names, *zip(*(columns[name] for name in names), strict=True)])
    file = folder / ("t.tsv" if mark == "\t" else "t.csv")
    file.write_bytes((b"\xef\xbb\xbf" if bom else b"") + out.getvalue().encode())
    return file
