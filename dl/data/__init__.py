from dl.data.digits import digits
from dl.data.download import Progress
from dl.data.split import Data, Split
from dl.data.street import street_digits
from dl.data.svhn import MissingError, svhn

__all__ = ["Data", "MissingError", "Progress", "Split", "digits", "street_digits", "svhn"]
