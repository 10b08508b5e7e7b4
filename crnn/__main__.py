"""`python -m crnn demo | info | bench | run script.py`."""

import argparse
import os

import crnn


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m crnn", description="crnn: torch.nn.RNN in C, on NumPy arrays."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("demo", help="run trained networks on real samples")
    commands.add_parser("info", help="print version, CPU, ISAs, threads and NumPy")
    commands.add_parser("bench", help="time it, beside torch.nn.RNN where installed")
    program = commands.add_parser("run", help="run a torch program on crnn's RNNs")
    program.add_argument("script", help="path of a Python program")
    program.add_argument("arguments", nargs=argparse.REMAINDER, help="for the program")
    options = parser.parse_args(argv)

    if options.command == "demo":
        from crnn import demo  # only the demo pays for it

        demo.main()
    elif options.command == "bench":
        from crnn import bench

        bench.main()
    elif options.command == "run":
        if not os.path.exists(options.script):
            program.error(f"can't open file {options.script!r}")
        from crnn.torch import run  # torch is optional

        run(options.script, options.arguments)
    else:
        crnn.show_config()


if __name__ == "__main__":
    main()
