CREATE TABLE iris.small AS SELECT * FROM iris.train LIMIT 50;
SELECT * FROM iris.small TO RUN registry.example.com/a/clean:v1 CMD "clean.py", "--column=class" INTO iris.clean;
SELECT * FROM iris.clean TO TRAIN registry.example.com:5000/models/v0.1/DNNClassifier WITH model.n_classes = 3 LABEL class INTO db.m1;
SELECT * FROM iris.clean TO TRAIN BoostedTreesClassifier WITH model.n_classes = 3 LABEL class INTO db.m2;
SHOW TRAIN db.m1;
SELECT * FROM iris.test TO PREDICT iris.p.class USING db.m1;
SELECT * FROM iris.test TO EXPLAIN db.m1 WITH summary.plot_type = "bar" USING TreeExplainer INTO iris.e;
SELECT * FROM iris.test TO EVALUATE db.m2 WITH validation.metrics = "Accuracy" LABEL class INTO iris.v;
SELECT * FROM woodcarving TO MAXIMIZE SUM((price - cost) * product) CONSTRAINT SUM(finishing * product) <= 100 WITH variables = "product", var_type = "Integers" USING glpk INTO db.result;
