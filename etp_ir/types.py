"""Element types and tensor types, with the text form ``f32[2,3]`` in both directions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from attrs import frozen

from .errors import TypeRuleError


@frozen(eq=False)
class DType:
    """An element type: its short name, its kind and its width in bits.

    Attributes
    ----------
    name
        Text form, one of ``f64 f32 f16 bf16 i64 i32 u32 bool``.
    kind
        ``"float"``, ``"int"``, ``"uint"`` or ``"bool"``.
    bits
        Width of one element in bits (8 for ``bool``, as stored).
    array_name
        Name used by the array-API standard, for example ``"float32"``.
    """

    name: str
    kind: str
    bits: int
    array_name: str

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        # Element types are compared by identity, also after a copy or in another process.
        return dtype_of, (self.name,)

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point numbers, that is, differentiable."""
        return self.kind == "float"

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's own object: by this attribute ``np.zeros(3, x.dtype)`` and ``==`` work."""
        return self.numpy()

    def numpy(self) -> np.dtype[Any]:
        """Return the NumPy dtype (``bf16`` needs ``ml_dtypes`` to have been imported)."""
        try:
            return np.dtype(self.array_name)
        except TypeError as error:
            raise TypeRuleError(
                f"NumPy does not know {self.array_name}; import ml_dtypes first"
            ) from error


F64 = DType("f64", "float", 64, "float64")
F32 = DType("f32", "float", 32, "float32")
F16 = DType("f16", "float", 16, "float16")
BF16 = DType("bf16", "float", 16, "bfloat16")
I64 = DType("i64", "int", 64, "int64")
I32 = DType("i32", "int", 32, "int32")
U32 = DType("u32", "uint", 32, "uint32")
BOOL = DType("bool", "bool", 8, "bool")

DTYPES: dict[str, DType] = {d.name: d for d in (F64, F32, F16, BF16, I64, I32, U32, BOOL)}
_BY_ARRAY_NAME = {d.array_name: d for d in DTYPES.values()}
# Narrower NumPy integers carry no meaning of their own here: labels and masks arrive as them.
_WIDENED = {"int8": I32, "int16": I32, "uint8": I32, "uint16": I32, "uint64": I64}
_RANK = {d.name: i for i, d in enumerate((BOOL, U32, I32, I64, BF16, F16, F32, F64))}


def dtype_of(spec: Any) -> DType:
    """Return the `DType` for a `DType`, a short name, an array-API name or a dtype object.

    Raises
    ------
    TypeRuleError
        If the element type has no counterpart in the IR (complex numbers, strings, objects).
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, str) and spec in DTYPES:
        return DTYPES[spec]
    try:
        name = np.dtype(spec).name
    except (TypeError, ValueError):
        name = str(spec).rsplit(".", 1)[-1].strip("'<>")
    found = _BY_ARRAY_NAME.get(name) or _WIDENED.get(name)
    if found is None:
        raise TypeRuleError(f"element type {name!r} is not one of {', '.join(DTYPES)}")
    return found


def promote(a: DType, b: DType) -> DType:
    """Return the wider of two element types; floats win over integers, integers over bool."""
    return a if _RANK[a.name] >= _RANK[b.name] else b


@frozen
class TensorType:
    """The type of a value: an element type and a static shape."""

    dtype: DType
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for extent in self.shape:
            n *= extent
        return n

    @property
    def nbytes(self) -> int:
        """Bytes needed to store the elements."""
        return self.size * self.dtype.bits // 8

    def with_shape(self, shape: tuple[int, ...]) -> TensorType:
        """Return the same element type with another shape."""
        return TensorType(self.dtype, tuple(int(n) for n in shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        """Return the same shape with another element type."""
        return TensorType(dtype, self.shape)


_TYPE_TEXT = re.compile(r"([a-z]+[0-9]*)\[([0-9,\s]*)\]")


def parse_type(text: str) -> TensorType:
    """Return the type written as ``text``, for example ``"f32[2,3]"``."""
    match = _TYPE_TEXT.fullmatch(text.strip())
    if match is None or match[1] not in DTYPES:
        raise TypeRuleError(f"{text!r} is not a tensor type; write it like f32[2,3]")
    extents = tuple(int(n) for n in match[2].split(",") if n.strip())
    return TensorType(DTYPES[match[1]], extents)


def type_of(array: Any) -> TensorType:
    """Return the type of an array-like object (anything with ``dtype`` and ``shape``)."""
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        array = np.asarray(array)
    return TensorType(dtype_of(array.dtype), tuple(int(n) for n in array.shape))
