"""The whole contract as one class."""

from executor.testing.contract.approvals import ApprovalContract
from executor.testing.contract.documents import DocumentContract
from executor.testing.contract.events import EventContract
from executor.testing.contract.graph import GraphContract
from executor.testing.contract.importing import ImportContract
from executor.testing.contract.lists import ListContract
from executor.testing.contract.payloads import PayloadContract
from executor.testing.contract.recording import RecordingContract
from executor.testing.contract.results import ResultContract
from executor.testing.contract.step_logs import StepLogContract
from executor.testing.contract.tokens import TokenContract


class StoreContract(
    RecordingContract,
    GraphContract,
    ListContract,
    EventContract,
    DocumentContract,
    ApprovalContract,
    PayloadContract,
    ResultContract,
    StepLogContract,
    TokenContract,
    ImportContract,
):
    """Subclass it and give a fixture `harness` that yields a StoreHarness:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def harness(self, tmp_path):
            harness = MyHarness(tmp_path)
            yield harness
            harness.close()
    """
