"""Files of images, labels, points and transforms.

The only package that depends on nibabel, SimpleITK and DICOM.
"""
