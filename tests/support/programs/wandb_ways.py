"""Every way of W&B's client to log, to end and to be preempted; `mode` says which. Knows nothing of sweepkit."""

import os
import sys
import threading
import time

import wandb

mode = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])["mode"]


def log():
    wandb.login()  # offline: a warning
    run = wandb.init()
    wandb.log({"loss": 5, "text": "나쁨", "ok": True, "shape": wandb.Histogram([1, 2, 3])})
    run.log({"deep": {"er": 1.5}}, commit=False)
    run.log({"loss": 4})
    wandb.log({"loss": 3}, step=7)
    wandb.log({"extra": 1}, step=7)
    wandb.log({"loss": -100}, step=6)  # below the newest step: dropped, with a warning
    thread = threading.Thread(target=wandb.log, args=({"loss": 2, "none": None},))
    thread.start()
    thread.join()
    wandb.log({"loss": float("inf")}, commit=False)
    wandb.log({"loss": 2.5})  # the same row: the later value stands; and nobody calls finish()


def summary():
    with wandb.init() as run:
        run.define_metric("epoch")
        run.define_metric("loss", step_metric="epoch", summary="min,max,mean")
        run.define_metric("hidden", summary="none")
        for epoch, loss in enumerate((3, 1, 2)):
            run.log({"epoch": epoch, "loss": loss, "hidden": loss, "gone": 1})
        run.summary["best"] = {"epoch": 1, "name": "일"}
        run.summary.update({"params": 12})
        del run.summary["gone"]


def config():
    run = wandb.init(project="mine", entity="me", id="fixed", config={"mode": "mine", "size": 3}, name="이름")
    run.config.mode = "other"  # a sweep's parameters are locked: a warning
    run.config.late = [1, 2]
    run.log({"loss": len(run.config.mode), "key": len(os.environ["WANDB_API_KEY"])})
    with open("cmdlines", "wb") as file:  # what everybody on this machine can see of this run and its wandb-core
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as command:
                    file.write(command.read() + b"\n")
            except OSError:
                pass
    wandb.finish()
    wandb.finish()


def caught():
    try:
        with wandb.init() as run:
            run.log({"loss": 7})
            raise ValueError("inside")
    except ValueError:
        print("caught")


def finished_badly():
    run = wandb.init()
    run.log({"loss": 8})
    run.finish(exit_code=3)


def leaves():
    wandb.init(dir="elsewhere" if os.path.isdir("elsewhere") else None).log({"loss": 9})
    sys.exit("나갑니다")


def preempted():
    run = wandb.init()
    first = 0
    if run.resumed:
        with open("checkpoint") as file:
            first = int(file.read())
    for epoch in range(first, 4):
        run.log({"epoch": epoch, "loss": 6 - epoch if epoch else 0.5})
        if epoch == 1 and not run.resumed:
            with open("checkpoint", "w") as file:
                file.write(str(epoch + 1))
            run.mark_preempting()
            sys.exit(1)


def marked():
    run = wandb.init()
    run.mark_preempting()  # and then all goes well
    run.log({"loss": 10})


def runaway():
    run = wandb.init()
    for power in range(1200):
        run.log({"loss": 10.0 ** min(power, 4)})
        time.sleep(0.05 if power > 4 else 0)


globals()[mode]()
