"""`python -m crnn demo | info | bench`."""

import argparse

import crnn


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m crnn", description="crnn: torch.nn.RNN in C, on NumPy arrays."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("demo", help="run a trained network on real speech")
    commands.add_parser("info", help="print version, CPU, ISAs, threads and NumPy")
    commands.add_parser("bench", help="time it, beside torch.nn.RNN where installed")
    command = parser.parse_args(argv).command

    if command == "demo":
        from crnn import demo  # only the demo pays for it

        demo.main()
    elif command == "bench":
        from crnn import bench

        bench.main()
    else:
        crnn.show_config()


if __name__ == "__main__":
    main()
