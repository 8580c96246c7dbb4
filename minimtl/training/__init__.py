"""What any training run needs: history, metrics, callbacks, progress, and text for consoles."""

from minimtl.training.callbacks import Callback, EarlyStopping, Scheduled
from minimtl.training.console import progress, readable, say
from minimtl.training.history import History, Means
from minimtl.training.metrics import METRICS
from minimtl.training.table import Table
