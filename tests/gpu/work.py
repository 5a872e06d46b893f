"""The program of the GPU check's sweeps: small, unmodified PyTorch. It writes what it saw into $GPU_CHECK_OUT.

Each parameter is --name=value: kind (what to do), number (which run), batch, width, steps, seed.
"""

import json
import os
import sys
import time

import torch

given = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
kind = given.get("kind", "train")
number = int(given.get("number", 0))
batch, width, steps = (int(given.get(name, value)) for name, value in (("batch", 32), ("width", 128), ("steps", 8)))
seen = {
    "kind": kind,
    "number": number,
    "pid": os.getpid(),
    "parent": os.getppid(),
    "began": time.time(),
    "initialized_before": torch.cuda.is_initialized(),
    "bad_fork": torch.cuda._is_in_bad_fork(),
    "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
}
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
seen["device"] = str(device)


def report(**values):
    """Report a row to the agent, if there is one."""
    path = os.environ.get("SWEEPKIT_REPORT_FILE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def held_on_gpu():
    """Return the pids that the driver names on GPU 0; None where it cannot be asked."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        return [process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except Exception:
        return None


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


if kind == "bart":  # a model as large as KoBART, from its configuration; as many tokens as a small batch has
    from transformers import BartConfig, BartForConditionalGeneration

    sizes = {"d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "vocab_size": 30_000}
    whole = BartForConditionalGeneration(BartConfig(**sizes)).to(device)
    tokens = torch.randint(5, 30_000, (4, 64), device=device)
    whole(input_ids=tokens, labels=tokens).loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seen["first_step"] = time.time()
elif kind == "hang":  # a kernel that does not end; 10 ** 12 cycles are some ten minutes
    block = torch.empty(256, 2**20, device=device)  # 1 GiB that must be free again afterwards
    report(loss=1.0)
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
    block = torch.randn(batch, width, 1024, device=device)
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
    seen["gpu_uuid"] = str(getattr(torch.cuda.get_device_properties(0), "uuid", ""))
    seen["devices"] = torch.cuda.device_count()
    seen["held_on_gpu"] = held_on_gpu()
seen["ended"] = time.time()
report(loss=0.5)
with open(os.path.join(os.environ["GPU_CHECK_OUT"], f"{kind}-{number}-{os.getpid()}.json"), "w") as out:
    json.dump(seen, out)
