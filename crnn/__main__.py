"""`python -m crnn demo | info | run script.py`."""

import argparse

import crnn


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m crnn", description="crnn: torch.nn.RNN in C, on NumPy arrays."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("demo", help="run a trained network on real speech")
    commands.add_parser("info", help="print version, CPU, ISAs, threads and NumPy")
    run = commands.add_parser("run", help="run a torch program with crnn's RNNs")
    run.add_argument("script", help="path of a Python program")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="for the program")
    options = parser.parse_args(argv)

    if options.command == "demo":
        from crnn import demo  # only the demo pays for it

        demo.main()
    elif options.command == "run":
        import crnn.torch  # torch is optional

        crnn.torch.run(options.script, options.arguments)
    else:
        crnn.show_config()


if __name__ == "__main__":
    main()
