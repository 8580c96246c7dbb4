"""`python -m tests.bench speed`, `python -m tests.bench d1 --data DIR`, `python -m tests.bench gradients`,
`python -m tests.bench mixing`, `python -m tests.bench frozen`, `python -m tests.bench checkpoints`"""

import argparse

from tests.bench import checkpoints, frozen, gradients, mixing, speed, study_d1

parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
programs = parser.add_subparsers(dest="program", required=True)
programs.add_parser("speed", help="training steps beside PyTorch's")
study = programs.add_parser("d1", help="D1 on real MNIST beside PyTorch, over seeds")
study.add_argument("--data", metavar="DIR", help="folder with the MNIST files")
study.add_argument("--seeds", type=int, default=10)
study.add_argument("--epochs", type=int, default=10)
checks = programs.add_parser("gradients", help="planted errors caught by gradient checks, beside PyTorch's")
checks.add_argument("--trials", type=int, default=500)
checks.add_argument("--cases", type=int, default=10_000)

mixes = programs.add_parser("mixing", help="aggregations beside the backward passes of a ResNet-18 that they need")
mixes.add_argument("--rounds", type=int, default=3)
heads = programs.add_parser("frozen", help="epochs of a head on a frozen trunk, with the feature cache, beside PyTorch's")
heads.add_argument("--rounds", type=int, default=7)

files = programs.add_parser("checkpoints", help="broken and hostile checkpoint files: refused or read, time and memory")
files.add_argument("--files", type=int, default=10_000)
files.add_argument("--seed", type=int, default=0)

if __name__ == "__main__":
    options = parser.parse_args()
    if options.program == "speed":
        speed.main()
    elif options.program == "checkpoints":
        checkpoints.main(options.files, options.seed)
    elif options.program == "mixing":
        mixing.main(options.rounds)
    elif options.program == "frozen":
        frozen.main(options.rounds)
    elif options.program == "gradients":
        gradients.main(options.trials, options.cases)
    else:
        study_d1.main(options.data, options.seeds, options.epochs)
