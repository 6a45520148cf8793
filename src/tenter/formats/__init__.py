"""Files of images, labels, points and transforms: the only room that knows nibabel, SimpleITK and DICOM."""
