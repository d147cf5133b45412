"""The prediction explorer: image, ground truth and prediction of scenes, uploads, random patches and orthophotos."""
