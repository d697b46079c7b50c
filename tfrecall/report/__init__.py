"""What happened to recall: `distortion` measures it, `export` hands on the model.

Both functions share their module's name; importing them here, once, makes ``tfrecall.report.distortion`` the function.
Neither loads TensorFlow before it is called.
"""

from tfrecall.report.distortion import distortion
from tfrecall.report.export import export

__all__ = ["distortion", "export"]
