"""The program of the GPU check's sweeps: small, unmodified PyTorch. It writes what it saw into $GPU_CHECK_OUT.

Each parameter is --name=value: kind (what to do), number (which run), batch, width, steps, seed.
In a rehearsal (check.py --rehearse) the device is the CPU, and memory of the GPU is held on paper.
"""

import json
import os
import signal
import sys
import time

import torch

given = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
kind = given.get("kind", "train")
number = int(given.get("number", 0))
batch, width, steps = (int(given.get(name, value)) for name, value in (("batch", 32), ("width", 128), ("steps", 8)))
ON_PAPER = os.environ.get("GPU_STAND_IN")


def hold(mib):
    """Hold memory of the GPU that exists on paper."""
    if ON_PAPER:
        with open(os.path.join(ON_PAPER, str(os.getpid())), "w") as file:
            file.write(str(mib))


def ask_driver(question):
    """Return what the driver answers about this GPU; None where it cannot be asked."""
    try:
        import pynvml

        pynvml.nvmlInit()
        name = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0]
        by_uuid = pynvml.nvmlDeviceGetHandleByUUID
        return question(pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else by_uuid(name))
    except Exception:
        return None


def holders():
    """Return the pids that the driver says hold memory of this GPU."""
    return ask_driver(lambda nvml, gpu: [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(gpu)])


def began_cuda(pid):
    """Return whether a process has initialized CUDA's driver: then it has the device for unified memory open."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return None
    return any(link.endswith("/nvidia-uvm") for link in links)


seen = {
    "kind": kind,
    "number": number,
    "pid": os.getpid(),
    "parent": os.getppid(),
    "began": time.time(),
    "initialized_before": torch.cuda.is_initialized(),
    "bad_fork": torch.cuda._is_in_bad_fork(),
    "parent_began_cuda": began_cuda(os.getppid()),
    "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    "free_mb": ask_driver(lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).free / 2**20),
}
hold(600)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
seen["device"] = str(device)


def report(**values):
    """Report a row to the agent, if there is one."""
    path = os.environ.get("SWEEPKIT_REPORT_FILE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def model_of(width_):
    """Return a small network with dropout on the device, so that the device's random numbers count."""
    layers = [torch.nn.Linear(64, width_), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(width_, 1)]
    return torch.nn.Sequential(*layers).to(device)


def train(network, batches):
    """Make a step for each batch; return the losses, exactly (hexadecimal)."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for step, inputs in enumerate(batches):
        loss = network(inputs.to(device, non_blocking=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss).hex())
        if step == 0:
            seen["first_step"] = time.time()
        report(loss=float(loss))
    return losses


if kind in ("embedded", "kobart"):  # the model of the repository; one as large as KoBART, from its configuration
    from transformers import BartConfig, BartForConditionalGeneration

    if kind == "embedded":
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data", "checkpoints")
        whole = BartForConditionalGeneration.from_pretrained(os.path.join(folder, "bart-tiny-ko")).to(device)
    else:
        layers = {"encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072}
        heads = {"encoder_attention_heads": 16, "decoder_attention_heads": 16}
        config = BartConfig(d_model=32 if ON_PAPER else 768, vocab_size=30_000, **layers, **heads)
        whole = BartForConditionalGeneration(config).to(device)
    whole.train()
    optimizer = torch.optim.AdamW(whole.parameters(), lr=1e-5)
    tokens = torch.randint(5, whole.config.vocab_size, (4, 64), device=device)
    whole(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seen["first_step"] = time.time()
elif kind == "hang":  # a kernel that does not end; 10 ** 12 cycles are some ten minutes
    hold(1600)
    block = torch.empty(256, 2**20, device=device)  # 1 GiB that must be free again afterwards
    report(loss=1.0)
    if ON_PAPER:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a process in a kernel, it does not answer
        time.sleep(1000)
    for _ in range(100):
        torch.cuda._sleep(10**12)
    torch.cuda.synchronize()
elif kind == "loader":
    if "seed" in given:
        torch.manual_seed(int(given["seed"]))
    data = torch.utils.data.TensorDataset(torch.randn(steps * batch, 64))
    loader = torch.utils.data.DataLoader(
        data, batch_size=batch, num_workers=2, pin_memory=device.type == "cuda", persistent_workers=False
    )
    seen["losses"] = train(model_of(width), (inputs for (inputs,) in loader))
elif kind == "compile":
    compiled = torch.compile(model_of(width))
    begin = time.time()
    seen["losses"] = train(compiled, [torch.randn(batch, 64) for _ in range(steps)])
    seen["compile_s"] = time.time() - begin
    seen["cache"] = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
elif kind == "wide":  # memory and time that grow with batch × width
    hold(600 + batch * width * 12 // 1024)  # three times the block's
    block = torch.randn(batch, width if not ON_PAPER else 1, 1024, device=device)
    for _ in range(steps):
        for _ in range(50):
            block = torch.tanh(block * 1.01)
        if device.type == "cuda":
            torch.cuda.synchronize()
        report(loss=float(block[0, 0, 0]))
        time.sleep(0.2)  # what a loader would take
else:
    if "seed" in given:
        torch.manual_seed(int(given["seed"]))
    seen["losses"] = train(model_of(width), (torch.randn(batch, 64) for _ in range(steps)))
    if kind == "slow":
        time.sleep(4.0)

if device.type == "cuda":
    seen["gpu_uuid"] = str(getattr(torch.cuda.get_device_properties(0), "uuid", "not told by this torch"))
    seen["devices"] = torch.cuda.device_count()
elif ON_PAPER:
    seen["gpu_uuid"] = ask_driver(lambda nvml, gpu: nvml.nvmlDeviceGetUUID(gpu))
    seen["devices"] = len((seen["visible"] or "").split(","))
seen["held_on_gpu"] = holders()
seen["ended"] = time.time()
report(loss=0.5)
with open(os.path.join(os.environ["GPU_CHECK_OUT"], f"{kind}-{number}-{os.getpid()}.json"), "w") as out:
    json.dump(seen, out)
