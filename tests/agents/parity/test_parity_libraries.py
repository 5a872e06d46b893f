"""Warm is fresh: the libraries that trainings use, all rows through one fork server that has imported them."""

from dataclasses import replace

import pytest
from parity import params, row

MODEL = """\
    import torch
    from torch.utils.data import DataLoader, Dataset
    class Squares(Dataset):
        def __init__(self):
            self.scale = 2
        def __len__(self):
            return 6
        def __getitem__(self, i):
            forked = torch.utils.data.get_worker_info() is not None
            return torch.tensor(float(i * self.scale)), forked, torch.initial_seed() % 100
"""

ROWS = [
    row(
        "numpy's options",
        """\
            import numpy
            observe(
                err=numpy.geterr(),
                print=numpy.get_printoptions(),
                call=numpy.geterrcall(),
                buffer=numpy.getbufsize(),
            )
            """,
    ),
    row(
        "numpy's warnings",
        """\
            import numpy
            numpy.log(numpy.zeros(1))
            numpy.array([1.0]) / 0
            """,
    ),
    row(
        "OMP_NUM_THREADS set above import numpy (c03)",
        """\
            import os
            os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "2"
            import numpy, threadpoolctl
            numpy.ones((9, 9)) @ numpy.ones((9, 9))
            observe(threads=[[i["user_api"], i["num_threads"]] for i in threadpoolctl.threadpool_info()])
            """,
        apart=True,
    ),
    row(
        "threads of numpy's library",
        """\
            import numpy, threadpoolctl
            observe(threads=[[i["user_api"], i["num_threads"]] for i in threadpoolctl.threadpool_info()])
            """,
    ),
    row(
        "pandas's options",
        """\
            import pandas
            observe(
                rows=pandas.get_option("display.max_rows"),
                width=pandas.get_option("display.width"),
                text=repr(pandas.DataFrame({"a": range(100)})),
            )
            """,
        slow=True,
    ),
    row(
        "matplotlib's backend and settings",
        """\
            import matplotlib
            import matplotlib.pyplot as plt
            observe(
                backend=matplotlib.get_backend(),
                size=plt.rcParams["figure.figsize"],
                figures=plt.get_fignums(),
                config=matplotlib.get_configdir(),
            )
            plt.plot([1, 2])
            observe(figures=plt.get_fignums())
            """,
    ),
    row(
        "MPLBACKEND set above import matplotlib (c03)",
        """\
            import os
            os.environ["MPLBACKEND"] = "svg"
            import matplotlib
            import matplotlib.pyplot
            observe(backend=matplotlib.get_backend())
            """,
        slow=True,
        apart=True,
    ),
    row(
        "MPLCONFIGDIR set above import matplotlib (c03)",
        """\
            import os
            os.environ["MPLCONFIGDIR"] = os.getcwd()
            import matplotlib
            observe(folder=matplotlib.get_configdir())
            """,
        apart=True,
    ),
    row(
        "matplotlib with a home that cannot be written to (c50)",
        """\
            import matplotlib, os
            folder = matplotlib.get_configdir()
            observe(there=os.path.isdir(folder), mine=folder.startswith(os.environ["TMPDIR"]))
            """,
        attempt_env={"HOME": "/proc/nowhere"},
        may_differ={"output": "matplotlib says the random name of its folder"},
        apart=True,
    ),
    row(
        "matplotlib.use and a style stay in the run",
        """\
            import matplotlib
            import matplotlib.pyplot as plt
            observe(style=plt.rcParams["axes.grid"], backend=matplotlib.rcParams["backend"])
            plt.rcParams["axes.grid"] = True
            matplotlib.use("pdf")
            """,
        slow=True,
    ),
    row(
        "TQDM_DISABLE set above import tqdm (c03)",
        """\
            import os
            os.environ["TQDM_DISABLE"] = "1"
            from tqdm import tqdm
            for _ in tqdm(range(2)):
                pass
            """,
        apart=True,
    ),
    row(
        "a tqdm bar on stderr",
        """\
            from tqdm import tqdm
            for _ in tqdm(range(2), bar_format="{l_bar}{n_fmt}"):
                pass
            """,
    ),
    row(
        "torch's state",
        """\
            import torch, os
            observe(
                threads=torch.get_num_threads(),
                interop=torch.get_num_interop_threads(),
                dtype=str(torch.get_default_dtype()),
                grad=torch.is_grad_enabled(),
                deterministic=torch.are_deterministic_algorithms_enabled(),
                cuda=torch.cuda.is_available(),
                initialized=torch.cuda.is_initialized(),
                precision=torch.get_float32_matmul_precision(),
                device=str(torch.get_default_device()),
                anomaly=torch.is_anomaly_enabled(),
                options=repr(torch.tensor([1 / 3])),
                benchmark=torch.backends.cudnn.benchmark,
            )
            observe(
                seed=torch.initial_seed(),
                a=torch.rand(1).item(),
                b=torch.Generator().seed(),
                c=torch.randn(3).tolist(),
                d=torch.nn.Linear(2, 2).weight[0, 0].item(),
            )
            torch.manual_seed(3)
            observe(e=torch.rand(1).item(), f=torch.randperm(9).tolist(), g=torch.Generator().initial_seed())
            torch.set_default_dtype(torch.float64)
            torch.use_deterministic_algorithms(True)
            """,
        draws=("seed", "a", "b", "c", "d"),
    ),
    row(
        "torch trains",
        """\
            import torch
            torch.manual_seed(0)
            m = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Dropout(0.5), torch.nn.Linear(64, 1))
            o = torch.optim.Adam(m.parameters())
            for _ in range(3):
                o.zero_grad()
                loss = m(torch.randn(128, 64)).square().mean()
                loss.backward()
                o.step()
            observe(loss=loss.item())
            torch.save(m.state_dict(), "m.pt")
            observe(keys=list(torch.load("m.pt")))
            import os
            os.remove("m.pt")
            """,
        slow=True,
    ),
    row(
        "torch, two at once, unseeded (c01)",
        """\
            import torch
            observe(a=torch.rand(1).item(), b=torch.randint(10**9, (1,)).item(), seed=torch.initial_seed())
            """,
        draws=("a", "b", "seed"),
        together=True,
        slow=True,
    ),
    row(
        "torch's threads by OMP_NUM_THREADS set in the program (c03)",
        """\
            import os
            os.environ["OMP_NUM_THREADS"] = "2"
            import torch
            observe(threads=torch.get_num_threads())
            """,
        slow=True,
        apart=True,
    ),
    row(
        "torch's threads by OMP_NUM_THREADS of the attempt",
        """\
            import torch
            observe(threads=torch.get_num_threads())
            """,
        attempt_env={"OMP_NUM_THREADS": "2"},
        slow=True,
        apart=True,
    ),
    row(
        "DataLoader workers by fork",
        MODEL
        + """\
    seeded = torch.Generator().manual_seed(3)
    for batch in DataLoader(Squares(), batch_size=3, num_workers=2, generator=seeded):
        print(batch)
    """,
        slow=True,
    ),
    row(
        "DataLoader workers by spawn",
        MODEL
        + """\
    if __name__ == "__main__":
        seeded = torch.Generator().manual_seed(3)
        options = {"num_workers": 1, "multiprocessing_context": "spawn", "generator": seeded}
        for batch in DataLoader(Squares(), batch_size=3, **options):
            print(batch)
    """,
        slow=True,
    ),
    row(
        "DataLoader without workers, shuffled and unseeded",
        MODEL
        + """\
    loader = DataLoader(list(range(1000)), batch_size=1000, shuffle=True)
    observe(order=next(iter(loader)).tolist())
    """,
        draws=("order",),
        slow=True,
    ),
    row(
        "torch.multiprocessing.spawn",
        """\
            import torch.multiprocessing as m
            def work(rank, n):
                open(f"{rank}.txt", "w").write(str(n))
            if __name__ == "__main__":
                m.spawn(work, args=(2,), nprocs=2)
            """,
        slow=True,
    ),
    row(
        "torch.distributed of one process",
        """\
            import torch, torch.distributed as d
            d.init_process_group(
                "gloo",
                init_method="file:///" + __import__("os").getcwd().strip("/") + "/store",
                rank=0,
                world_size=1,
            )
            t = torch.ones(1)
            d.all_reduce(t)
            print(t)
            d.destroy_process_group()
            """,
        slow=True,
    ),
    row(
        "transformers's logging and seeds",
        """\
            import transformers, torch
            from transformers.utils import logging
            observe(
                level=logging.get_verbosity(),
                handlers=[type(h).__name__ for h in __import__("logging").getLogger("transformers").handlers],
            )
            logging.get_logger("transformers").warning("words")
            transformers.set_seed(1)
            observe(a=torch.rand(1).item())
            """,
        slow=True,
    ),
    row(
        "HF_HOME set above import transformers (c03)",
        """\
            import os
            os.environ["HF_HOME"] = "/tmp/my_hf_home"
            os.environ["HF_HUB_OFFLINE"] = "1"
            import transformers
            from huggingface_hub import constants
            observe(home=constants.HF_HOME, offline=constants.HF_HUB_OFFLINE)
            """,
        env={},
        slow=True,
        apart=True,
    ),
    row(
        "TRANSFORMERS_VERBOSITY of the attempt",
        """\
            import transformers
            observe(level=transformers.logging.get_verbosity())
            """,
        attempt_env={"TRANSFORMERS_VERBOSITY": "info"},
        slow=True,
    ),
    row(
        "a tokenizer after a fork",
        """\
            import os
            from tokenizers import Tokenizer, models
            t = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
            print([e.ids for e in t.encode_batch(["a", "b"])])
            if os.fork() == 0:
                print([e.ids for e in t.encode_batch(["a", "b"])], flush=True)
                os._exit(0)
            os.wait()
            """,
        slow=True,
    ),
    row(
        "wandb offline: tables, images, plots in every run (c50)",
        """\
            import wandb, os
            with wandb.init(
                project="p",
                settings=wandb.Settings(
                    silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True
                ),
            ) as run:
                run.log({"t": wandb.Table(columns=["a"], data=[[1]])})
                run.log(
                    {
                        "h": wandb.Html("<p>x</p>"),
                        "plot": wandb.plot.line(wandb.Table(columns=["x", "y"], data=[[1, 2]]), "x", "y"),
                    }
                )
                observe(
                    id=len(run.id),
                    name=run.name,
                    mode=run.settings.mode,
                    offline=run.offline,
                    folder=os.path.dirname(run.dir).rpartition("-")[0][-11:],
                )
            print("done")
            """,
        may_differ={"files": "W&B's files hold times", "folder": "holds the time"},
        attempt_env={"WANDB_SILENT": "true"},
        slow=False,
    ),
    row(
        "wandb, two at once (c50)",
        """\
            import wandb
            with wandb.init(
                project="p",
                settings=wandb.Settings(
                    silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True
                ),
            ) as run:
                run.log({"t": wandb.Table(columns=["a"], data=[[1]])})
            print("done")
            """,
        may_differ={"files": "W&B's files hold times"},
        together=True,
        slow=True,
    ),
    row(
        "wandb's settings by the environment of the attempt",
        """\
            import wandb
            with wandb.init() as run:
                observe(project=run.project, id=run.id, group=run.group, tags=run.tags, dir=wandb.run.dir[-6:])
            """,
        attempt_env={
            "WANDB_PROJECT": "mine",
            "WANDB_RUN_ID": "abc123",
            "WANDB_RUN_GROUP": "g",
            "WANDB_TAGS": "a,b",
            "WANDB_SILENT": "true",
        },
        may_differ={"files": "W&B's files hold times"},
        slow=True,
    ),
    row(
        "wandb left unfinished",
        """\
            import wandb
            run = wandb.init(project="p")
            run.log({"a": 1})
            """,
        attempt_env={"WANDB_SILENT": "true"},
        may_differ={"files": "W&B's files hold times"},
        slow=True,
    ),
    row(
        "sklearn with joblib's threads",
        """\
            from sklearn.ensemble import RandomForestClassifier
            import numpy
            m = RandomForestClassifier(5, n_jobs=2, random_state=0).fit(
                numpy.arange(20).reshape(10, 2), [0, 1] * 5
            )
            observe(p=m.predict_proba([[1, 2]]).tolist())
            """,
        slow=True,
    ),
    row(
        "sklearn unseeded",
        """\
            from sklearn.model_selection import train_test_split
            observe(split=train_test_split(list(range(100)))[0])
            """,
        draws=("split",),
        slow=True,
    ),
    row(
        "a library that warns about a fork or about threads",
        """\
            import warnings
            warnings.simplefilter("always")
            import numpy, scipy.stats, psutil
            observe(a=float(scipy.stats.norm.cdf(0)))
            """,
        slow=True,
    ),
    row(
        "rich's console",
        """\
            from rich.console import Console
            c = Console()
            observe(width=c.width, terminal=c.is_terminal, colors=c.color_system, encoding=c.encoding)
            """,
    ),
    row(
        "PIL, yaml, requests: what is registered",
        """\
            import PIL.Image, yaml, requests, logging
            PIL.Image.init()
            observe(
                n=len(PIL.Image.OPEN),
                loggers=sorted(
                    n for n in logging.root.manager.loggerDict if n.startswith(("PIL", "urllib3", "requests"))
                ),
                tag=len(yaml.SafeLoader.yaml_constructors),
            )
            """,
        slow=True,
    ),
    row(
        "absl and nltk: logging handlers",
        """\
            import logging, nltk
            observe(handlers=[repr(h) for h in logging.root.handlers], level=logging.root.level)
            logging.warning("words")
            """,
        slow=True,
    ),
]


# One folder, as for the runs of a sweep: PyTorch reads its working directory when it is imported.
ROWS = [
    row if row.alone else replace(row, folder="rows", script=f"program_{number}.py") for number, row in enumerate(ROWS)
]


@pytest.mark.heavy
@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
