# Your dbt project in an image: copy this file into the project, beside a .dockerignore with
# `.git`, `.dbtorch`, `target`, `logs` and `profiles.yml`s that are nobody else's business.
#
#   docker build -t analytics .
FROM dbtorch:0.1.0
USER 0:0
# What DBTORCH_ARTIFACTS_URL needs: s3fs for s3://, gcsfs for gs://, adlfs for abfs://.
RUN python -m pip install --no-cache-dir "s3fs>=2024.2"
COPY . /srv/project
# Packages are installed now: a container that starts needs no network but the warehouse.
RUN if [ -f packages.yml ] || [ -f dependencies.yml ]; then dbt deps; fi
# There is no .git in the image: this text says whose history it is, the same on every machine.
ENV DBTORCH_PROJECT_ID=analytics
USER 10001:10001
