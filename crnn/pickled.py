"""Plain data out of a pickle, without running what it says.

A pickle is a program for a stack machine that can call any function by name.  This
machine knows the opcodes that plain data needs and the names that it is given; it
refuses all others, so that a file from anywhere can be read.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any


class Refused(Exception):
    """The pickle asks for something that plain data does not need."""


class Inert(str):
    """The name of a type that a pickle speaks of; a pickle cannot make one itself."""


# Opcodes whose argument is the object, and those that make a new one.
LITERALS = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
    | {"SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"}
)
MAKERS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}


class Machine:
    """Makes the object that a pickle describes.

    Args:
        names: what stands for each "module name" that the pickle may use; functions are
            called with whatever arguments the pickle gives.
        load_persistent: from a persistent identity to its object.
    """

    def __init__(self, names: Mapping[str, Any], load_persistent: Callable):
        self.names = names
        self.load_persistent = load_persistent
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """The object.

        Raises:
            Refused: an opcode or a name that plain data does not need.
            ValueError, TypeError, LookupError: damage.
        """
        stream = io.BytesIO(data)
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name in LITERALS:
                self.stack.append(argument)
            elif name in MAKERS:
                self.stack.append(MAKERS[name]())
            elif name in OPCODES:
                OPCODES[name](self, argument)
            else:
                raise Refused(f"its pickle uses {name}, which plain data does not")
        (result,) = self.stack
        if stream.read(1):
            raise ValueError("bytes after the end")
        return result

    def skip(self, _):
        """PROTO, FRAME and STOP say nothing about the data."""

    def mark(self, _):
        self.marks.append(len(self.stack))

    def marked(self) -> list:
        """Take what lies above the last mark from the stack."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def make_tuple(self, _):
        self.stack.append(tuple(self.marked()))

    def make_short_tuple(self, count: int):
        items = tuple(self.stack[-count:])
        if len(items) != count:
            raise IndexError("the stack is empty")
        self.stack[-count:] = [items]

    def append(self, _):
        self.extend([self.stack.pop()])

    def extend(self, items: list):
        if type(self.stack[-1]) is not list:
            raise TypeError("items for what is no list")
        self.stack[-1].extend(items)

    def set_item(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self.set_pairs([key, value])

    def set_pairs(self, items: list):
        target = self.stack[-1]
        if type(target) is not dict:
            raise TypeError("items for what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Nothing nested: hashing it could overflow the stack of C.
            if not isinstance(key, str | int):
                raise TypeError(f"a key of type {type(key).__name__}")
            if key in target or "\0" in str(key):
                raise ValueError("a key that is there twice, or holds a NUL")
            target[key] = value

    def memoize(self, key: int):
        self.memo[key] = self.stack[-1]

    def recall(self, key: int):
        self.stack.append(self.memo[key])

    def find(self, name: str):
        if name not in self.names:
            raise Refused(f"it holds {name.replace(' ', '.')}, which is no plain data")
        self.stack.append(self.names[name])

    def find_from_stack(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self.find(" ".join([module, name]))

    def call(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        if not callable(function) or type(arguments) is not tuple:
            raise TypeError("a call of what is no function")
        self.stack.append(function(*arguments))

    def build(self, _):
        """Attributes, such as the versions of modules in a dict, are left out."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], dict | Inert):
            raise TypeError("attributes for what is no dict")
        if isinstance(state, tuple) and state[1:2] == (">",):
            raise ValueError("a big-endian type")

    def load(self, _):
        self.stack.append(self.load_persistent(self.stack.pop()))


# What the other opcodes do to a machine and their argument.
OPCODES = {
    "PROTO": Machine.skip,
    "FRAME": Machine.skip,
    "STOP": Machine.skip,
    "MARK": Machine.mark,
    "TUPLE": Machine.make_tuple,
    "TUPLE1": lambda machine, _: machine.make_short_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_short_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_short_tuple(3),
    "APPEND": Machine.append,
    "APPENDS": lambda machine, _: machine.extend(machine.marked()),
    "SETITEM": Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_pairs(machine.marked()),
    "BINPUT": Machine.memoize,
    "LONG_BINPUT": Machine.memoize,
    "MEMOIZE": lambda machine, _: machine.memoize(len(machine.memo)),
    "BINGET": Machine.recall,
    "LONG_BINGET": Machine.recall,
    "GLOBAL": Machine.find,
    "STACK_GLOBAL": Machine.find_from_stack,
    "REDUCE": Machine.call,
    "BUILD": Machine.build,
    "BINPERSID": Machine.load,
}
