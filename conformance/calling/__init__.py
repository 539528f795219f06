"""Calling an implementation: this code runs next to it, and needs nothing but NumPy."""

from conformance.calling.caller import Caller as Caller
from conformance.calling.caller import HistoryEnded as HistoryEnded
from conformance.calling.caller import InProcess as InProcess
from conformance.calling.caller import MadeCall as MadeCall
from conformance.calling.caller import Request as Request
from conformance.calling.history import Answer as Answer
from conformance.calling.history import HistoryCall as HistoryCall
from conformance.calling.history import perform as perform
from conformance.calling.measuring import Measured as Measured
from conformance.calling.measuring import Watch as Watch
from conformance.calling.observing import CRASH as CRASH
from conformance.calling.observing import ENDINGS as ENDINGS
from conformance.calling.observing import HANG as HANG
from conformance.calling.observing import MEMORY as MEMORY
from conformance.calling.observing import Array as Array
from conformance.calling.observing import CallEnded as CallEnded
from conformance.calling.observing import Inputs as Inputs
from conformance.calling.observing import NotAnArray as NotAnArray
from conformance.calling.observing import Observation as Observation
from conformance.calling.observing import RaisedInWorker as RaisedInWorker
from conformance.calling.observing import from_layout as from_layout
from conformance.calling.observing import has_result as has_result
from conformance.calling.observing import observe as observe
from conformance.calling.observing import one_line as one_line
from conformance.calling.observing import to_layout as to_layout
from conformance.calling.pace import Pace as Pace
