"""Reading a traced step: positions, groups, relations, transitions, statuses, diagnostics."""

from etp_ir.errors import CompilationError, NotSupportedError

from .diagnostics import (
    CompilationRecord,
    CompilationWarning,
    DiagnosticKind,
    DiagnosticLevel,
    diagnose,
)
from .graph import ETraceGraph
from .modules import (
    ModuleInfo,
    compile_etrace_graph,
    extract_module_info,
    find_hidden_groups,
    find_hidden_param_op_relations,
)
from .perturbation import HiddenPerturbation, add_hidden_perturbation
from .structure import HiddenGroup, HiddenParamOpRelation

__all__ = [
    "CompilationError", "CompilationRecord", "CompilationWarning", "DiagnosticKind",
    "DiagnosticLevel", "ETraceGraph", "HiddenGroup", "HiddenParamOpRelation",
    "HiddenPerturbation", "ModuleInfo", "NotSupportedError", "add_hidden_perturbation",
    "compile_etrace_graph", "diagnose", "extract_module_info", "find_hidden_groups",
    "find_hidden_param_op_relations",
]  # fmt: skip
