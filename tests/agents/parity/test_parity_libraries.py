"""Warm is fresh: the libraries that trainings use, all rows through one fork server that has imported them."""

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
            return torch.tensor(float(i * self.scale)), torch.utils.data.get_worker_info() is not None, torch.initial_seed() % 100
"""

ROWS = [
    row(
        "numpy's options",
        "import numpy\nobserve(err=numpy.geterr(), print=numpy.get_printoptions(), call=numpy.geterrcall(), buffer=numpy.getbufsize())\n",
    ),
    row("numpy's warnings", "import numpy\nnumpy.log(numpy.zeros(1))\nnumpy.array([1.0]) / 0\n"),
    row(
        "OMP_NUM_THREADS set above import numpy (c03)",
        "import os\nos.environ['OMP_NUM_THREADS'] = os.environ['OPENBLAS_NUM_THREADS'] = '2'\nimport numpy, threadpoolctl\nnumpy.ones((9, 9)) @ numpy.ones((9, 9))\nobserve(threads=[[i['user_api'], i['num_threads']] for i in threadpoolctl.threadpool_info()])\n",
    ),
    row(
        "threads of numpy's library",
        "import numpy, threadpoolctl\nobserve(threads=[[i['user_api'], i['num_threads']] for i in threadpoolctl.threadpool_info()])\n",
    ),
    row(
        "pandas's options",
        "import pandas\nobserve(rows=pandas.get_option('display.max_rows'), width=pandas.get_option('display.width'), text=repr(pandas.DataFrame({'a': range(100)})))\n",
        slow=True,
    ),
    row(
        "matplotlib's backend and settings",
        "import matplotlib\nimport matplotlib.pyplot as plt\nobserve(backend=matplotlib.get_backend(), size=plt.rcParams['figure.figsize'], figures=plt.get_fignums(), config=matplotlib.get_configdir())\nplt.plot([1, 2])\nobserve(figures=plt.get_fignums())\n",
    ),
    row(
        "MPLBACKEND set above import matplotlib (c03)",
        "import os\nos.environ['MPLBACKEND'] = 'svg'\nimport matplotlib\nimport matplotlib.pyplot\nobserve(backend=matplotlib.get_backend())\n",
        slow=True,
    ),
    row(
        "MPLCONFIGDIR set above import matplotlib (c03)",
        "import os\nos.environ['MPLCONFIGDIR'] = os.getcwd()\nimport matplotlib\nobserve(folder=matplotlib.get_configdir())\n",
    ),
    row(
        "matplotlib with a home that cannot be written to (c50)",
        "import matplotlib, os\nfolder = matplotlib.get_configdir()\nobserve(there=os.path.isdir(folder), mine=folder.startswith(os.environ['TMPDIR']))\n",
        attempt_env={"HOME": "/proc/nowhere"},
        may_differ={"output": "matplotlib says the random name of its folder"},
    ),
    row(
        "matplotlib.use and a style stay in the run",
        "import matplotlib\nimport matplotlib.pyplot as plt\nobserve(style=plt.rcParams['axes.grid'], backend=matplotlib.rcParams['backend'])\nplt.rcParams['axes.grid'] = True\nmatplotlib.use('pdf')\n",
        slow=True,
    ),
    row(
        "TQDM_DISABLE set above import tqdm (c03)",
        "import os\nos.environ['TQDM_DISABLE'] = '1'\nfrom tqdm import tqdm\nfor _ in tqdm(range(2)):\n    pass\n",
    ),
    row(
        "a tqdm bar on stderr",
        "from tqdm import tqdm\nfor _ in tqdm(range(2), bar_format='{l_bar}{n_fmt}'):\n    pass\n",
    ),
    row(
        "torch's state",
        "import torch, os\n"
        "observe(threads=torch.get_num_threads(), interop=torch.get_num_interop_threads(), dtype=str(torch.get_default_dtype()), grad=torch.is_grad_enabled(), deterministic=torch.are_deterministic_algorithms_enabled(), cuda=torch.cuda.is_available(), initialized=torch.cuda.is_initialized(), precision=torch.get_float32_matmul_precision(), device=str(torch.get_default_device()), anomaly=torch.is_anomaly_enabled(), options=repr(torch.tensor([1 / 3])), benchmark=torch.backends.cudnn.benchmark)\n"
        "observe(seed=torch.initial_seed(), a=torch.rand(1).item(), b=torch.Generator().seed(), c=torch.randn(3).tolist(), d=torch.nn.Linear(2, 2).weight[0, 0].item())\n"
        "torch.manual_seed(3)\nobserve(e=torch.rand(1).item(), f=torch.randperm(9).tolist(), g=torch.Generator().initial_seed())\n"
        "torch.set_default_dtype(torch.float64)\ntorch.use_deterministic_algorithms(True)\n",
        draws=("seed", "a", "b", "c", "d"),
    ),
    row(
        "torch trains",
        "import torch\ntorch.manual_seed(0)\nm = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Dropout(0.5), torch.nn.Linear(64, 1))\no = torch.optim.Adam(m.parameters())\nfor _ in range(3):\n    o.zero_grad()\n    loss = m(torch.randn(128, 64)).square().mean()\n    loss.backward()\n    o.step()\nobserve(loss=loss.item())\ntorch.save(m.state_dict(), 'm.pt')\nobserve(keys=list(torch.load('m.pt')))\nimport os\nos.remove('m.pt')\n",
        slow=True,
    ),
    row(
        "torch, two at once, unseeded (c01)",
        "import torch\nobserve(a=torch.rand(1).item(), b=torch.randint(10**9, (1,)).item(), seed=torch.initial_seed())\n",
        draws=("a", "b", "seed"),
        together=True,
        slow=True,
    ),
    row(
        "torch's threads by OMP_NUM_THREADS set in the program (c03)",
        "import os\nos.environ['OMP_NUM_THREADS'] = '2'\nimport torch\nobserve(threads=torch.get_num_threads())\n",
        slow=True,
    ),
    row(
        "torch's threads by OMP_NUM_THREADS of the attempt",
        "import torch\nobserve(threads=torch.get_num_threads())\n",
        attempt_env={"OMP_NUM_THREADS": "2"},
        slow=True,
    ),
    row(
        "DataLoader workers by fork",
        MODEL
        + "    for batch in DataLoader(Squares(), batch_size=3, num_workers=2, generator=torch.Generator().manual_seed(3)):\n        print(batch)\n",
        slow=True,
    ),
    row(
        "DataLoader workers by spawn",
        MODEL
        + "    if __name__ == '__main__':\n        for batch in DataLoader(Squares(), batch_size=3, num_workers=1, multiprocessing_context='spawn', generator=torch.Generator().manual_seed(3)):\n            print(batch)\n",
        slow=True,
    ),
    row(
        "DataLoader without workers, shuffled and unseeded",
        MODEL
        + "    observe(order=[b[0].tolist() for b in DataLoader(list(range(1000)), batch_size=1000, shuffle=True)] if False else next(iter(DataLoader(list(range(1000)), batch_size=1000, shuffle=True))).tolist())\n",
        draws=("order",),
        slow=True,
    ),
    row(
        "torch.multiprocessing.spawn",
        "import torch.multiprocessing as m\ndef work(rank, n):\n    open(f'{rank}.txt', 'w').write(str(n))\nif __name__ == '__main__':\n    m.spawn(work, args=(2,), nprocs=2)\n",
        slow=True,
    ),
    row(
        "torch.distributed of one process",
        "import torch, torch.distributed as d\nd.init_process_group('gloo', init_method='file:///' + __import__('os').getcwd().strip('/') + '/store', rank=0, world_size=1)\nt = torch.ones(1)\nd.all_reduce(t)\nprint(t)\nd.destroy_process_group()\n",
        slow=True,
    ),
    row(
        "transformers's logging and seeds",
        "import transformers, torch\nfrom transformers.utils import logging\nobserve(level=logging.get_verbosity(), handlers=[type(h).__name__ for h in __import__('logging').getLogger('transformers').handlers])\nlogging.get_logger('transformers').warning('words')\ntransformers.set_seed(1)\nobserve(a=torch.rand(1).item())\n",
        slow=True,
    ),
    row(
        "HF_HOME set above import transformers (c03)",
        "import os\nos.environ['HF_HOME'] = '/tmp/my_hf_home'\nos.environ['HF_HUB_OFFLINE'] = '1'\nimport transformers\nfrom huggingface_hub import constants\nobserve(home=constants.HF_HOME, offline=constants.HF_HUB_OFFLINE)\n",
        env={},
        slow=True,
    ),
    row(
        "TRANSFORMERS_VERBOSITY of the attempt",
        "import transformers\nobserve(level=transformers.logging.get_verbosity())\n",
        attempt_env={"TRANSFORMERS_VERBOSITY": "info"},
        slow=True,
    ),
    row(
        "a tokenizer after a fork",
        "import os\nfrom tokenizers import Tokenizer, models\nt = Tokenizer(models.WordLevel({'a': 0, '[UNK]': 1}, unk_token='[UNK]'))\nprint([e.ids for e in t.encode_batch(['a', 'b'])])\nif os.fork() == 0:\n    print([e.ids for e in t.encode_batch(['a', 'b'])], flush=True)\n    os._exit(0)\nos.wait()\n",
        slow=True,
    ),
    row(
        "wandb offline: tables, images, plots in every run (c50)",
        "import wandb, os\n"
        "with wandb.init(project='p', settings=wandb.Settings(silent=True, console='off', disable_git=True, x_disable_stats=True, x_disable_meta=True)) as run:\n"
        "    run.log({'t': wandb.Table(columns=['a'], data=[[1]])})\n    run.log({'h': wandb.Html('<p>x</p>'), 'plot': wandb.plot.line(wandb.Table(columns=['x', 'y'], data=[[1, 2]]), 'x', 'y')})\n"
        "    observe(id=len(run.id), name=run.name, mode=run.settings.mode, offline=run.offline, folder=os.path.dirname(run.dir).rpartition('-')[0][-11:])\n"
        "print('done')\n",
        may_differ={"files": "W&B's files hold times", "folder": "holds the time"},
        attempt_env={"WANDB_SILENT": "true"},
        slow=False,
    ),
    row(
        "wandb, two at once (c50)",
        "import wandb\nwith wandb.init(project='p', settings=wandb.Settings(silent=True, console='off', disable_git=True, x_disable_stats=True, x_disable_meta=True)) as run:\n    run.log({'t': wandb.Table(columns=['a'], data=[[1]])})\nprint('done')\n",
        may_differ={"files": "W&B's files hold times"},
        together=True,
        slow=True,
    ),
    row(
        "wandb's settings by the environment of the attempt",
        "import wandb\nwith wandb.init() as run:\n    observe(project=run.project, id=run.id, group=run.group, tags=run.tags, dir=wandb.run.dir[-6:])\n",
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
        "import wandb\nrun = wandb.init(project='p')\nrun.log({'a': 1})\n",
        attempt_env={"WANDB_SILENT": "true"},
        may_differ={"files": "W&B's files hold times"},
        slow=True,
    ),
    row(
        "sklearn with joblib's threads",
        "from sklearn.ensemble import RandomForestClassifier\nimport numpy\nm = RandomForestClassifier(5, n_jobs=2, random_state=0).fit(numpy.arange(20).reshape(10, 2), [0, 1] * 5)\nobserve(p=m.predict_proba([[1, 2]]).tolist())\n",
        slow=True,
    ),
    row(
        "sklearn unseeded",
        "from sklearn.model_selection import train_test_split\nobserve(split=train_test_split(list(range(100)))[0])\n",
        draws=("split",),
        slow=True,
    ),
    row(
        "a library that warns about a fork or about threads",
        "import warnings\nwarnings.simplefilter('always')\nimport numpy, scipy.stats, psutil\nobserve(a=float(scipy.stats.norm.cdf(0)))\n",
        slow=True,
    ),
    row(
        "rich's console",
        "from rich.console import Console\nc = Console()\nobserve(width=c.width, terminal=c.is_terminal, colors=c.color_system, encoding=c.encoding)\n",
    ),
    row(
        "PIL, yaml, requests: what is registered",
        "import PIL.Image, yaml, requests, logging\nPIL.Image.init()\nobserve(n=len(PIL.Image.OPEN), loggers=sorted(n for n in logging.root.manager.loggerDict if n.startswith(('PIL', 'urllib3', 'requests'))), tag=len(yaml.SafeLoader.yaml_constructors))\n",
        slow=True,
    ),
    row(
        "absl and nltk: logging handlers",
        "import logging, nltk\nobserve(handlers=[repr(h) for h in logging.root.handlers], level=logging.root.level)\nlogging.warning('words')\n",
        slow=True,
    ),
]


@pytest.mark.parametrize("row", params(ROWS))
def test_a_warm_run_is_a_fresh_process(benches, row):
    assert not (outcome := benches.hold(row)).differences, str(outcome)
