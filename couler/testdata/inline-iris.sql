-- The program of SQLFlow's tutorial: look, train, predict, look again.
SELECT * FROM iris.train LIMIT 10;

SELECT * FROM iris.train
TO TRAIN DNNClassifier
WITH model.n_classes = 3, model.hidden_units = [10, 20]
LABEL class
INTO sqlflow_models.my_dnn_model;
