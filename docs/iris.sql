DROP TABLE IF EXISTS iris.big;
CREATE TABLE iris.big AS SELECT * FROM iris.train WHERE petal_length > 5;
SELECT * FROM iris.big TO TRAIN DNNClassifier WITH model.n_classes = 3 LABEL class INTO sqlflow_models.dnn;
SELECT COUNT(*) FROM iris.big;
SELECT COUNT(*) FROM iris.test;
