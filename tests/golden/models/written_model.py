"""Changes to the model file of a written package, as faults that a comparison has to notice."""

import numpy as np
from coremltools.proto import MIL_pb2, Model_pb2


class WrittenModel:
    """with WrittenModel(package) as model: ... rewrites the package."""

    def __init__(self, package):
        self.file = package / "Data/com.apple.CoreML/model.mlmodel"

    def __enter__(self):
        self.model = Model_pb2.Model()
        self.model.ParseFromString(self.file.read_bytes())
        return self

    def __exit__(self, *failure):
        if failure == (None, None, None):
            self.file.write_bytes(self.model.SerializeToString())

    def operations(self, function):
        blocks = self.model.mlProgram.functions[function].block_specializations
        return next(iter(blocks.values())).operations

    def find(self, function, output):
        return next(op for op in self.operations(function) if output in [o.name for o in op.outputs])

    def insert_before(self, function, position, *operations):
        all_operations = self.operations(function)
        kept = [*all_operations[:position], *operations, *all_operations[position:]]
        kept = [MIL_pb2.Operation.FromString(op.SerializeToString()) for op in kept]
        del all_operations[:]
        all_operations.extend(kept)

    def position_of(self, function, output):
        return next(i for i, op in enumerate(self.operations(function)) if output in [o.name for o in op.outputs])

    def add(self, function, x, y, name):
        """A new operation `name` = x + y, of the type of x; to be inserted."""
        like = self.find(function, x)
        op = MIL_pb2.Operation(type="add")
        for parameter, argument in (("x", x), ("y", y)):
            op.inputs[parameter].arguments.add(name=argument)
        output = op.outputs.add(name=name)
        output.type.CopyFrom(next(o.type for o in like.outputs if o.name == x))
        op.attributes["name"].CopyFrom(text(name))
        return op

    def constant(self, name, values):
        """A new fp32 constant; to be inserted."""
        op = MIL_pb2.Operation(type="const")
        output = op.outputs.add(name=name)
        tensor = output.type.tensorType
        tensor.dataType, tensor.rank = MIL_pb2.FLOAT32, values.ndim
        for size in values.shape:
            tensor.dimensions.add().constant.size = size
        value = op.attributes["val"]
        value.type.CopyFrom(output.type)
        value.immediateValue.tensor.floats.values.extend(values.astype(np.float32).ravel().tolist())
        op.attributes["name"].CopyFrom(text(name))
        return op


def text(string):
    value = MIL_pb2.Value()
    value.type.tensorType.dataType = MIL_pb2.STRING
    value.immediateValue.tensor.strings.values.append(string)
    return value


def rename_argument(operation, parameter, old, new):
    for argument in operation.inputs[parameter].arguments:
        if argument.name == old:
            argument.name = new


def hide_later_tokens(package, length):
    """Gives the encoder a causal mask."""
    later = np.triu(np.full((length, length), -1e4, np.float32), 1)
    with WrittenModel(package) as model:
        at = model.position_of("encode", "mask") + 1
        rank = len(next(o for o in model.find("encode", "mask").outputs).type.tensorType.dimensions)
        constant = model.constant("later_tokens", later.reshape([1] * (rank - 2) + [length, length]))
        causal = model.add("encode", "mask", "later_tokens", "causal_mask")
        causal.outputs[0].type.tensorType.CopyFrom(constant.outputs[0].type.tensorType)
        model.insert_before("encode", at, constant, causal)
        for op in model.operations("encode"):
            if op.type == "add" and op.outputs[0].name.endswith("_masked"):
                rename_argument(op, "y", "mask", "causal_mask")


def write_one_row_late(package):
    """Lets decode store keys and values one row behind the position they belong to."""
    with WrittenModel(package) as model:
        step = model.find("decode", "position_end").inputs["y"].arguments[0].name
        late = model.add("decode", "position_end", step, "position_late")
        model.insert_before("decode", model.position_of("decode", "position_end") + 1, late)
        for op in model.operations("decode"):
            name = op.outputs[0].name if op.outputs else ""
            if op.type == "concat" and "cache" in name and name.endswith("_begin"):
                rename_argument(op, "values", "position", "position_end")
            if op.type == "concat" and "cache" in name and name.endswith("_end"):
                rename_argument(op, "values", "position_end", "position_late")
